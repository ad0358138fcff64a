# Prints the user, the password and the database of each line that is an argument, a zero byte after each.
import sys


class pymysql:
    @staticmethod
    def connect(**options):
        return options


def read(line):
    if line.startswith("pymysql."):
        return eval(line)
    if "+" in line.split(":")[0]:
        import sqlalchemy

        url = sqlalchemy.engine.make_url(line)
        _, options = url.get_dialect()().create_connect_args(url)
        return options
    import psycopg.conninfo

    return psycopg.conninfo.conninfo_to_dict(line)


for line in sys.argv[1:]:
    options = read(line)
    for value in (options.get("user"), options.get("password"), options.get("database") or options.get("dbname")):
        if not isinstance(value, bytes):
            value = (value or "").encode()
        sys.stdout.buffer.write(value + b"\0")

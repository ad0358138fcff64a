# What Python makes of a line that people copy into a program: the arguments are the line, which is a call,
# or a URL for psycopg or SQLAlchemy, and a query for one text.
import sys

line, query = sys.argv[1:]


def connect():
    if line.startswith("pymysql."):
        import pymysql

        return eval(line)
    if "+" in line.split(":")[0]:
        import sqlalchemy

        return sqlalchemy.create_engine(line).raw_connection()
    import psycopg

    return psycopg.connect(line)


cursor = connect().cursor()
cursor.execute(query)
print(cursor.fetchone()[0])

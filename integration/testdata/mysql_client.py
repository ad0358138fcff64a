# What a Python program does, through dbvalet: argv are host, port, user and a file with 1,000 rows.
import sys

import pymysql
from pymysql.constants import CLIENT, COMMAND

host, port, user, rows = sys.argv[1:]


def one(connection, sql, *args):
    with connection.cursor() as cursor:
        cursor.execute(sql, args)
        return cursor.fetchone()


def error(connection, sql):
    try:
        one(connection, sql)
    except pymysql.MySQLError as err:
        return err.args[0]


def change_user(connection, name):
    """PyMySQL has no method for it."""
    fields = name.encode() + b"\0" + b"\0" + b"orders\0" + b"\x2d\0" + b"mysql_native_password\0" + b"\0"
    connection._execute_command(COMMAND.COM_CHANGE_USER, fields)
    connection._read_packet()


for password in "", "dummy":
    connection = pymysql.connect(
        host=host, port=int(port), user=user, password=password, database="orders",
        client_flag=CLIENT.MULTI_STATEMENTS, local_infile=True,
    )
    cipher = one(connection, "SHOW STATUS LIKE 'Ssl_cipher'")[1]
    print(one(connection, "SELECT CURRENT_USER()")[0], "encrypted" if cipher else "in clear")
    print("values", *one(connection, "SELECT %s + 1, %s", 41, "é"))
    cursor = connection.cursor()
    cursor.execute("SELECT 1; SELECT 2; SELECT 3")
    results = [cursor.fetchone()[0]]
    while cursor.nextset():
        results.append(cursor.fetchone()[0])
    print("results", *results)
    cursor.execute("SELECT CAST('x7' AS SIGNED)")
    print("warnings", cursor.warning_count, one(connection, "SHOW WARNINGS")[1])
    cursor.execute("CREATE TEMPORARY TABLE loaded (id INT PRIMARY KEY)")
    print("loaded", cursor.execute("LOAD DATA LOCAL INFILE %s INTO TABLE loaded", rows))
    print("errors", error(connection, "SELECT * FROM no_such_table"), error(connection, "INSERT INTO loaded VALUES (1)"), error(connection, "SELEC"))
    thread = connection.thread_id()
    for name in user, "app":
        cursor.execute("SET @left = 1")
        change_user(connection, name)
        same = one(connection, "SELECT CONNECTION_ID()")[0] == thread
        print("changed", *one(connection, "SELECT CURRENT_USER(), DATABASE(), @left"), "same thread" if same else "another thread")
        print("after it", one(connection, "SELECT LENGTH(%s)", "\x11" * 100000)[0])
    try:
        change_user(connection, "somebody")
    except pymysql.MySQLError as err:
        print("refused", err.args[0])
    try:
        one(connection, "SELECT 1")
    except pymysql.MySQLError:
        print("closed")

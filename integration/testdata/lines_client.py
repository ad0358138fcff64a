# What Python makes of a line that people copy into a program: the argument is the line.
import sys

import pymysql

with eval(sys.argv[1], {"pymysql": pymysql}) as connection, connection.cursor() as cursor:
    cursor.execute("SELECT CURRENT_USER(), DATABASE()")
    print(*cursor.fetchone())

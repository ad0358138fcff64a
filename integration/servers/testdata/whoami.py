import sys

import pymysql

host, port, user, password, ca = sys.argv[1:]
connection = pymysql.connect(
    host=host, port=int(port), user=user, password=password, database="orders", ssl_ca=ca
)
cursor = connection.cursor()
cursor.execute("SELECT CURRENT_USER()")
print(cursor.fetchone()[0])

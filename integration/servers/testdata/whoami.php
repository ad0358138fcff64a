<?php
[, $host, $port, $user, $password, $ca] = $argv;

$mysqli = mysqli_init();
$mysqli->ssl_set(null, null, $ca, null, null);
$mysqli->real_connect($host, $user, $password, 'orders', (int) $port, null, MYSQLI_CLIENT_SSL);
echo $mysqli->query('SELECT CURRENT_USER()')->fetch_row()[0], "\n";

$pdo = new PDO("mysql:host=$host;port=$port;dbname=orders", $user, $password, [PDO::MYSQL_ATTR_SSL_CA => $ca]);
echo $pdo->query('SELECT CURRENT_USER()')->fetchColumn(), "\n";

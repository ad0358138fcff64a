<?php
// What a PHP program does, through dbvalet: the arguments are host, port and user.
[, $host, $port, $user] = $argv;
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);

function one($db, $sql) { return $db->query($sql)->fetch_row(); }
function error($db, $sql) {
    try { $db->query($sql); } catch (mysqli_sql_exception $e) { return $e->getCode() . ' ' . $e->getSqlState(); }
}

foreach (['', 'dummy'] as $password) {
    $db = new mysqli($host, $user, $password, 'orders', (int) $port);
    $db->set_charset('utf8mb4');
    echo one($db, 'SELECT CURRENT_USER()')[0], one($db, "SHOW STATUS LIKE 'Ssl_cipher'")[1] ? ' encrypted' : ' in clear', "\n";
    $statement = $db->prepare('SELECT ? + 1, ?');
    [$n, $text] = [41, 'é'];
    $statement->bind_param('is', $n, $text);
    $statement->execute();
    echo 'prepared ', implode(' ', $statement->get_result()->fetch_row()), "\n";
    $db->multi_query('SELECT 1; SELECT 2; SELECT 3');
    $results = [];
    do { $results[] = $db->store_result()->fetch_row()[0]; } while ($db->more_results() && $db->next_result());
    echo 'results ', implode(' ', $results), "\n";
    $db->query("SELECT CAST('x7' AS SIGNED)");
    echo 'warnings ', $db->warning_count, ' ', $db->get_warnings()->errno, "\n";
    echo 'errors ', error($db, 'SELECT * FROM no_such_table'), ', ', error($db, 'SELEC'), "\n";
    foreach ([$user, 'app'] as $name) {
        $db->query('SET @left = 1');
        $db->change_user($name, $password, 'orders');
        echo 'changed ', implode(' ', array_map(fn ($v) => $v ?? 'NULL', one($db, 'SELECT CURRENT_USER(), DATABASE(), @left'))), "\n";
    }
    try {
        $db->change_user('somebody', 'theirs', 'orders');
        echo "is somebody\n";
    } catch (mysqli_sql_exception $e) {
        echo 'refused ', $e->getCode(), "\n";
    }

    // A persistent connection is used again after COM_CHANGE_USER, which PHP sends by itself.
    $first = new mysqli("p:$host", $user, $password, 'orders', (int) $port);
    $thread = one($first, 'SELECT CONNECTION_ID()')[0];
    $first->query('SET @left = 1');
    $first->close();
    $second = new mysqli("p:$host", $user, $password, 'orders', (int) $port);
    [$who, $again, $left] = one($second, 'SELECT CURRENT_USER(), CONNECTION_ID(), @left');
    echo "persistent $who ", $again === $thread ? 'same thread ' : 'another thread ', $left ?? 'NULL', "\n";
    $second->kill($second->thread_id); // so that the next password gets a connection of its own
}

$pdo = new PDO("mysql:host=$host;port=$port;dbname=orders", $user, '', [PDO::ATTR_EMULATE_PREPARES => false]);
$statement = $pdo->prepare('SELECT CURRENT_USER(), ? + 1');
$statement->execute([41]);
echo 'PDO ', implode(' ', $statement->fetch(PDO::FETCH_NUM)), "\n";

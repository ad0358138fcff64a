// What programs with mysql2 and mariadb do, through dbvalet: the arguments are host, port, user and a
// file with 1,000 rows.
const fs = require('fs');

const [host, port, user, file] = process.argv.slice(2);

async function codeOf(promise) {
  try {
    await promise;
    return 'no error';
  } catch (err) {
    return `${err.errno} ${err.sqlState}`;
  }
}

async function mysql2(password) {
  const db = await require('mysql2/promise').createConnection({
    host, port: Number(port), user, password, database: 'orders', multipleStatements: true, rowsAsArray: true,
  });
  const one = async (sql, values) => (await db.query(sql, values))[0][0];
  const [who] = await one('SELECT CURRENT_USER()');
  const [, cipher] = await one("SHOW STATUS LIKE 'Ssl_cipher'");
  console.log('mysql2', who, cipher ? 'encrypted' : 'in clear');
  console.log('prepared', ...(await db.execute('SELECT CONCAT(?, ""), ?', [42, 'é']))[0][0]);
  console.log('results', ...(await db.query('SELECT 1; SELECT 2; SELECT 3'))[0].flat(2));
  await db.query('CREATE TEMPORARY TABLE loaded (id INT PRIMARY KEY)');
  const [load] = await db.query({
    sql: 'LOAD DATA LOCAL INFILE "rows" INTO TABLE loaded', infileStreamFactory: () => fs.createReadStream(file),
  });
  console.log('loaded', load.affectedRows);
  const [warned] = await db.query('INSERT IGNORE INTO loaded VALUES (1)');
  console.log('warnings', warned.warningStatus, (await one('SHOW WARNINGS'))[1]);
  console.log('errors', await codeOf(db.query('SELECT * FROM no_such_table')), await codeOf(db.query('INSERT INTO loaded VALUES (1)')));

  const [zone] = await db.query("SET time_zone = '+03:00'");
  console.log('tracked', zone.stateChanges.systemVariables.time_zone);
  const [schema] = await db.query('USE information_schema');
  console.log('tracked', schema.stateChanges.schema);

  await db.query('SET @left = 1');
  await db.reset();
  console.log('reset', ...await one('SELECT CURRENT_USER(), @left'));
  const [thread] = await one('SELECT CONNECTION_ID()');
  for (const name of [user, 'app']) {
    await db.query('SET @left = 1');
    await db.changeUser({ user: name, password, database: 'information_schema' });
    const [id, ...now] = await one('SELECT CONNECTION_ID(), CURRENT_USER(), DATABASE(), @left');
    console.log('changed', ...now, id === thread ? 'same thread' : 'another thread');
    console.log('prepared', ...(await db.execute('SELECT CONCAT(?, "")', [43]))[0][0]);
  }
  console.log('refused', await codeOf(db.changeUser({ user: 'somebody', password: 'theirs' })));
  db.destroy();
}

async function mariadb(password) {
  const db = await require('mariadb').createConnection({
    host, port: Number(port), user, password, database: 'orders', multipleStatements: true, rowsAsArray: true,
    permitLocalInfile: true,
  });
  const one = async (sql, values) => (await db.query(sql, values))[0];
  const [who] = await one('SELECT CURRENT_USER()');
  const [, cipher] = await one("SHOW STATUS LIKE 'Ssl_cipher'");
  console.log('mariadb', who, cipher ? 'encrypted' : 'in clear');
  console.log('prepared', ...(await db.execute('SELECT CONCAT(?, ""), ?', [42, 'é']))[0]);
  console.log('results', ...(await db.query('SELECT 1; SELECT 2; SELECT 3')).flat(2).map(Number));
  await db.query('CREATE TEMPORARY TABLE loaded (id INT PRIMARY KEY)');
  const load = await db.query({
    sql: `LOAD DATA LOCAL INFILE '${file}' INTO TABLE loaded`, infileStreamFactory: () => fs.createReadStream(file),
  });
  console.log('loaded', load.affectedRows);
  await db.batch('INSERT INTO loaded VALUES (?)', Array.from({ length: 500 }, (_, i) => [5000 + i]));
  console.log('batch', ...(await one('SELECT COUNT(*) FROM loaded WHERE id >= 5000')).map(Number));
  const warned = await db.query('INSERT IGNORE INTO loaded VALUES (1)');
  console.log('warnings', warned.warningStatus, (await one('SHOW WARNINGS'))[1]);
  console.log('errors', await codeOf(db.query('SELECT * FROM no_such_table')), await codeOf(db.query('INSERT INTO loaded VALUES (1)')));
  await db.query('SET @left = 1');
  await db.reset();
  console.log('reset', ...await one('SELECT CURRENT_USER(), @left'));
  await db.end();
}

async function main() {
  for (const password of ['', 'dummy']) {
    await mysql2(password);
    await mariadb(password);
  }
}

main().catch((err) => {
  console.error(err);
  process.exitCode = 1;
});

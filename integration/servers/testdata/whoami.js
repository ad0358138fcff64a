const fs = require('fs');

const [host, port, user, password, ca] = process.argv.slice(2);
const options = {
  host, port: Number(port), user, password, database: 'orders',
  ssl: { ca: fs.readFileSync(ca) },
};

async function main() {
  const mysql2 = await require('mysql2/promise').createConnection({ ...options, enableCleartextPlugin: true });
  const [rows] = await mysql2.query('SELECT CURRENT_USER() AS who');
  console.log(rows[0].who);
  await mysql2.end();

  const mariadb = await require('mariadb').createConnection(options);
  console.log((await mariadb.query('SELECT CURRENT_USER() AS who'))[0].who);
  await mariadb.end();
}

main().catch((err) => {
  console.error(err);
  process.exitCode = 1;
});

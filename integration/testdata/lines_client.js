// What node-postgres and mysql2 make of a URL: the arguments are the package and the URL. Without one,
// node-postgres goes by the environment.
const [, , driver, url] = process.argv;

async function main() {
  if (driver === 'pg') {
    const client = new (require('pg').Client)(url || undefined);
    await client.connect();
    console.log((await client.query({ text: 'SELECT current_user, current_database()', rowMode: 'array' })).rows[0].join(' '));
    await client.end();
    return;
  }
  const db = await require('mysql2/promise').createConnection(url);
  console.log(Object.values((await db.query('SELECT CURRENT_USER() AS u, DATABASE() AS d'))[0][0]).join(' '));
  await db.end();
}

main().catch((err) => {
  console.error(err);
  process.exit(1);
});

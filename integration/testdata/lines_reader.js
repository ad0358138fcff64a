// Prints the user, the password and the database of each URL that is an argument behind the name of the
// driver, a zero byte after each.
const path = require('path');

const [driver, ...urls] = process.argv.slice(2);

function read(url) {
  if (driver === 'pg') return new (require('pg').Client)(url);
  const folder = path.dirname(require.resolve('mysql2'));
  return new (require(path.join(folder, 'lib/connection_config.js')))(url);
}

for (const url of urls) {
  const { user, password, database } = read(url);
  for (const text of [user, password, database]) process.stdout.write(`${text || ''}\0`);
}

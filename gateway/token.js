// node token.js NAME ROLE: a new token.  The token goes to who will use it and is never seen
// again; the line below it goes into "tokens" of the configuration.
import { makeToken } from './lib/tokens.js';

const [name, role] = process.argv.slice(2);
if (!name || !role) {
  console.error('usage: node token.js NAME ROLE');
  process.exit(2);
}
const { token, sha256 } = makeToken();
console.error(token);
console.log(JSON.stringify({ name, role, sha256 }));

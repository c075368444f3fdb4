// Bearer tokens: random, and kept as SHA-256 only.  A hash that is made for slowness (scrypt) is
// for passwords that can be guessed; of 256 random bits nobody can.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

export const hashOf = (token) => createHash('sha256').update(token).digest();

// A new token, and what the configuration keeps of it.
export function makeToken() {
  const token = `kyro_${randomBytes(32).toString('base64url')}`;
  return { token, sha256: hashOf(token).toString('hex') };
}

// find(header): the token of an Authorization header, or undefined.  All are compared, each
// in constant time, so how long it takes says nothing of which were nearly right.
export function tokenFinder(tokens) {
  const known = tokens.map((t) => ({ ...t, hash: Buffer.from(t.sha256, 'hex') }));

  return (header) => {
    const match = /^Bearer +([\x21-\x7e]{1,512})$/i.exec(header ?? '');
    if (!match) return undefined;
    const hash = hashOf(match[1]);
    let found;
    for (const token of known) {
      if (timingSafeEqual(token.hash, hash)) found = token;
    }
    return found;
  };
}

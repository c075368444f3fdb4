// Bodies.  A body is parsed for checking, but it is its text that PostgreSQL gets, as jsonb: so
// a number has all its digits, which those of JavaScript do not have.
import { TextDecoder } from 'node:util';
import { GatewayError } from './errors.js';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function parseBody(request, buffer, done) {
  let text, value;

  try {
    text = utf8.decode(buffer);
  } catch {
    return done(new GatewayError(400, '22021', 'the body is not valid UTF-8'));
  }
  try {
    value = JSON.parse(text);
  } catch (error) {
    return done(new GatewayError(400, '22P02', 'the body is not valid JSON', { detail: error.message }));
  }
  request.bodyText = text;
  done(null, value);
}

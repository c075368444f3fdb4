// Shapes of requests and answers: what is checked, and what /docs shows.

// bigint of SQL: as a string in answers.  In bodies a number does as well, since the server reads
// the text of the body; what is no bigint it refuses.
export const bigint = { type: 'string', maxLength: 64, description: 'bigint', examples: ['42'] };
export const bigintIn = { type: ['string', 'integer'], maxLength: 64, description: 'bigint, as a number or as a string', examples: ['42'] };
export const name = { type: 'string', minLength: 1, maxLength: 200, description: 'a name as SQL writes it, with a schema or without', examples: ['orders'] };
export const uuid = { type: 'string', maxLength: 64, description: 'uuid' };
export const any = { description: 'any JSON' };
export const array = (items, more = {}) => ({ type: 'array', items, ...more });
export const nullable = (schema) => ({ ...schema, type: [schema.type, 'null'] });
export const body = (properties, required) => ({ type: 'object', additionalProperties: false, properties, required });
export const query = (properties, required = []) => ({ type: 'object', additionalProperties: false, properties, required });
export const json = (properties) => ({ description: 'OK', type: 'object', properties });

export const event = {
  type: 'object',
  properties: { offset: bigint, at: { type: 'string', format: 'date-time' }, key: nullable(bigint), kind: { type: ['string', 'null'] }, payload: any, request_id: { type: ['string', 'null'] } },
};

const eventIn = { key: nullableIn(), kind: { type: ['string', 'null'] }, request_id: { type: ['string', 'null'], maxLength: 64 } };
function nullableIn() { return { ...bigintIn, type: ['string', 'integer', 'null'] }; }

export const appendBody = body({
  log: name, ...eventIn, payload: any, payload_base64: { type: 'string', description: 'for logs whose payloads are bytea' },
  events: array(body({ ...eventIn, payload: any }, ['payload']), { minItems: 1, maxItems: 10000 }),
}, ['log']);

const error = {
  type: 'object',
  properties: {
    error: {
      type: 'object',
      properties: {
        sqlstate: { type: 'string', examples: ['42P01'] }, message: { type: 'string' }, detail: { type: 'string' }, hint: { type: 'string' }, request_id: { type: 'string' },
      },
    },
  },
};
export const errors = { '4xx': { description: 'The request cannot be served as it is', ...error }, '5xx': { description: 'Not now, or not here', ...error } };

// An answer whose JSON the server has made; it is passed on as it is.
export function sendText(reply, text) {
  reply.type('application/json; charset=utf-8');
  return reply.serializer((payload) => payload).send(text);
}

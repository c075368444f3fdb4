// Errors as clients see them: JSON with an HTTP status, an SQLSTATE and, where there are any,
// DETAIL and HINT.  Everything that is thrown while a request is served ends in asAnswer().

// The gateway's own; sqlstate is the one that PostgreSQL would use.
export class GatewayError extends Error {
  constructor(status, sqlstate, message, { detail, hint, retryAfter } = {}) {
    super(message);
    this.status = status;
    this.sqlstate = sqlstate;
    this.detail = detail;
    this.hint = hint;
    this.retryAfter = retryAfter;
  }
}

// The status of an SQLSTATE, or else of its class.  What is in neither is 500.
const STATUS = {
  '42501': 403, '28000': 500, '28P01': 500,
  '42P01': 404, '42704': 404, '3F000': 404, '42883': 404, '02000': 404,
  '42P07': 409, '23502': 400, '55000': 409, '55P03': 409,
  '57014': 504, '25006': 409, '0A000': 501, '54000': 413,
  '09': 409, '22': 400, '23': 409, '25': 409, '40': 409, '42': 400, '44': 400, '54': 400, 'P0': 400,
  '08': 503, '53': 503, '57': 503,
};

export const statusOf = (sqlstate) => STATUS[sqlstate] ?? STATUS[sqlstate.slice(0, 2)] ?? 500;

// What Node and pg say of a server that is not there, or that has gone.
const LOST = new Set(['ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH']);
const LOST_MESSAGE = /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Client was closed|Query read timeout|Cannot use a pool after calling end)/;

const SQLSTATE = /^[0-9A-Z]{5}$/;
const isFromServer = (error) => typeof error.severity === 'string' && SQLSTATE.test(error.code ?? '');

// The same request may succeed later, without anything being mended by somebody.
export function isPassing(error) {
  const { sqlstate } = asAnswer(error);
  return /^(08|53|57P)/.test(sqlstate) || sqlstate === '57014' || sqlstate === '55P03';
}

const OF_FASTIFY = {
  FST_ERR_CTP_BODY_TOO_LARGE: [413, '54000'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [415, '0A000'],
  FST_ERR_CTP_EMPTY_JSON_BODY: [400, '22P02'],
  FST_ERR_BAD_URL: [400, '22021'],
  FST_ERR_MAX_PARAM_LENGTH: [414, '54000'],
  FST_UNDER_PRESSURE: [503, '53000'],
};

// { status, sqlstate, message, detail, hint, retryAfter } of whatever was thrown.
export function asAnswer(error) {
  if (error instanceof GatewayError) {
    const { status, sqlstate, message, detail, hint, retryAfter } = error;
    return { status, sqlstate, message, detail, hint, retryAfter };
  }
  if (isFromServer(error)) {
    const status = statusOf(error.code);
    return { status, sqlstate: error.code, message: error.message, detail: error.detail, hint: error.hint, retryAfter: status === 503 ? 1 : undefined };
  }
  if (error.validation) {
    return { status: 400, sqlstate: '22023', message: error.message };
  }
  if (OF_FASTIFY[error.code]) {
    const [status, sqlstate] = OF_FASTIFY[error.code];
    return { status, sqlstate, message: error.message, retryAfter: status === 503 ? 1 : undefined };
  }
  if (LOST.has(error.code) || LOST_MESSAGE.test(error.message)) {
    return {
      status: 503, sqlstate: '08006', message: 'the database cannot be reached', retryAfter: 1,
      hint: 'It is not known whether a change that was under way has been made. An append with the same request_id may be sent again.',
    };
  }
  if (error.statusCode >= 400 && error.statusCode < 500) {
    return { status: error.statusCode, sqlstate: '22023', message: error.message };
  }
  return { status: 500, sqlstate: 'XX000', message: 'internal error of the gateway' };
}

// The body of an error.
export function errorBody({ sqlstate, message, detail, hint }, requestId) {
  return { error: { sqlstate, message, detail, hint, request_id: requestId } };
}

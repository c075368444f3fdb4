// What every request passes before its route: limits of its address, its token, limits of that.
import { GatewayError } from './errors.js';
import { tokenFinder } from './tokens.js';

const MINUTE = 60000;

export function addGuards(app, { config, counters }) {
  const { limits } = config;
  const find = tokenFinder(config.tokens);
  const ofAddress = app.createRateLimit({ max: limits.ip_per_minute, timeWindow: MINUTE, keyGenerator: (r) => r.ip });
  const ofToken = app.createRateLimit({
    max: (r) => r.token.per_minute ?? limits.token_per_minute, timeWindow: MINUTE, keyGenerator: (r) => r.token.name,
  });

  const check = async (limit, request, whose) => {
    const { isExceeded, ttlInSeconds } = await limit(request);
    if (isExceeded) {
      counters.refused++;
      throw new GatewayError(429, '53400', `too many requests of this ${whose} within a minute`, { retryAfter: ttlInSeconds });
    }
  };

  app.decorateRequest('token', null);
  app.addHook('onRequest', async (request, reply) => {
    const { open, permission } = request.routeOptions.config;

    await check(ofAddress, request, 'address'); // first: it is for those who guess, too
    if (open) return;
    const token = find(request.headers.authorization);
    if (!token) {
      reply.header('www-authenticate', 'Bearer');
      throw new GatewayError(401, '28000', request.headers.authorization ? 'the token is not known' : 'a token is needed', { hint: 'Send "Authorization: Bearer TOKEN".' });
    }
    request.token = token;
    if (permission && !token.allow?.includes(permission)) {
      throw new GatewayError(403, '42501', `the token does not allow ${permission}`);
    }
    await check(ofToken, request, 'token');
  });
}

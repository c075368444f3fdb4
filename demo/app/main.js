// The page: connects with a token, then starts its parts.
import { get, setToken } from './api.js';
import { $ } from './dom.js';
import * as events from './events.js';
import * as model from './model.js';
import * as values from './values.js';
import * as vectors from './vectors.js';

async function connect(token) {
  const state = $('state');

  setToken(token);
  state.classList.remove('error');
  try {
    const { kyrodb } = await get('build_info');
    $('connect').hidden = true;
    state.textContent = `kyrodb ${kyrodb.version} on PostgreSQL ${kyrodb.server}`;
    const results = await Promise.allSettled([events, values, model, vectors].map((part) => part.start()));
    const failed = results.find((r) => r.status === 'rejected');
    if (failed) throw failed.reason;
    document.body.dataset.ready = 'yes';
  } catch (error) {
    state.classList.add('error');
    state.textContent = error.message;
  }
}

$('connect').addEventListener('submit', (event) => {
  event.preventDefault();
  connect($('token').value);
});

// make gateway shows an address with the token behind #, which no server gets to see
const given = new URLSearchParams(location.hash.slice(1)).get('token');
if (given) {
  history.replaceState(null, '', location.pathname);
  connect(given);
}

// The demonstration's page in a real Chromium: what it shows, by mouse, by keyboard, on a phone,
// and that it asks nobody but the gateway.  Pictures of it are left in $SCREENSHOTS.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { chromium } from 'playwright-core';
import { Cluster, Gateway, freePort, hash, newToken, root, until } from '../support.js';

const pictures = process.env.SCREENSHOTS;
const cluster = new Cluster();
await cluster.sql('CREATE EXTENSION kyrodb');
execFileSync('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', cluster.dir, '-U', 'postgres', '-d', 'postgres', '-f', join(root, 'demo', 'gateway.sql')], { stdio: 'pipe' });
const token = newToken();
const port = await freePort();
const makeGateway = () => new Gateway(cluster, {
  database: { monitor_role: 'demo_monitor', statement_ms: 60000, wait_ms: 30000 }, sql: { role: 'demo_reader', statement_ms: 20000, connections: 1 }, app: join(root, 'demo', 'app'),
  tokens: [{ name: 'demo', role: 'demo_app', sha256: hash(token), allow: ['sql', 'metrics'] }],
}, port).start();
let gateway = await makeGateway();
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });

after(async () => {
  await browser.close();
  await gateway.stop('SIGKILL');
  cluster.remove();
});

// A page, and whatever went wrong on it.
async function open(options = {}, hash_ = `#token=${token}`) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
  const page = await context.newPage();
  const wrong = [];
  const asked = [];
  page.setDefaultTimeout(60000);
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('console', (message) => { if (message.type() === 'error') wrong.push(message.text()); });
  page.on('request', (request) => asked.push(request.url()));
  await page.goto(`${gateway.url}/app/${hash_}`);
  if (hash_) {
    await page.waitForSelector('body[data-ready=yes], #state.error');
    assert.match(await page.textContent('#state'), /^kyrodb /);
  }
  return { page, wrong, asked, close: () => context.close() };
}
const picture = async (page, name) => {
  if (!pictures) return;
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
};
const append = (payload) => gateway.request('POST', '/v1/append', { token, body: { log: 'orders', kind: 'test', payload } });
const offsets = (page) => page.$$eval('#events li', (list) => list.map((li) => li.dataset.offset));

test('events come live, also behind a gateway that was restarted', async () => {
  const { page, close } = await open();
  assert.equal(await page.isVisible('#connect'), false);
  await append('by another');
  await page.waitForSelector('#events li:has-text("by another")');
  await page.fill('#append [name=payload]', '{"item": 42}');
  await page.click('#append button');
  await page.waitForSelector('#append-answer:has-text("appended as offset")');
  await page.waitForSelector('#events li:has-text("{\\"item\\":42}")');
  await gateway.stop('SIGTERM');
  await page.waitForSelector('#following:has-text("connecting again")');
  gateway = await makeGateway();
  await append('after the restart');
  await page.waitForSelector('#events li:has-text("after the restart")');
  const seen = await offsets(page);
  assert.deepEqual(seen, [...new Set(seen)]);
  assert.deepEqual(seen, (await cluster.sql('SELECT "offset"::text AS o FROM shop.orders ORDER BY "offset" DESC')).map((r) => r.o));
  await close();
});

test('what is wrong is said', async () => {
  const { page, close } = await open();
  await page.fill('#append [name=key]', 'x');
  await page.click('#append button');
  await page.waitForSelector('#append-answer.error:has-text("invalid input syntax for type bigint")');
  await page.fill('#put [name=value]', 'much');
  await page.click('#put button');
  await page.waitForSelector('#value-answer.error:has-text("invalid input syntax for type numeric")');
  await close();
  const stranger = await open({}, '');
  await stranger.page.fill('#token', 'guessed');
  await stranger.page.keyboard.press('Enter');
  await stranger.page.waitForSelector('#state.error:has-text("the token is not known")');
  assert.equal(await stranger.page.isVisible('#connect'), true);
  await stranger.close();
});

test('put, get, scan, and the past by the slider', async () => {
  const { page, close } = await open();
  for (const value of ['1.25', '99.75']) {
    await page.fill('#put [name=key]', '1007');
    await page.fill('#put [name=value]', value);
    await page.click('#put button');
    await page.waitForSelector(`#past-values tr:has(td:text-is("1007")) td:nth-child(3):text-is("${value}")`);
  }
  await page.click('#get button');
  await page.waitForSelector('#value-answer:has-text("key 1007: 99.75")');
  await page.click('#scan button');
  await page.waitForSelector('#scanned tr:has(td:text-is("1007")) td:text-is("99.75")');
  assert.equal(await page.locator('#scanned tr').count(), (await cluster.sql('SELECT count(*)::int AS n FROM shop.prices WHERE key BETWEEN 1000 AND 1100'))[0].n);
  // back to the value before the last, and to where there was none
  const [{ first, second }] = await cluster.sql(`SELECT min("offset") FILTER (WHERE payload = '"1.25"')::text AS first, min("offset") FILTER (WHERE payload = '"99.75"')::text AS second FROM shop.prices_history WHERE key = 1007`);
  await page.locator('#past').fill(first);
  await page.waitForSelector('#past-values tr:has(td:text-is("1007")) td.changed:text-is("1.25")');
  await page.locator('#past').focus();
  while (Number(await page.inputValue('#past')) < Number(second)) await page.keyboard.press('ArrowRight');
  await page.waitForSelector('#past-values tr:has(td:text-is("1007")) td:nth-child(2):text-is("99.75")');
  await page.keyboard.press('Home');
  await page.waitForSelector('#past-values tr:has(td:text-is("1007")) td:nth-child(2):text-is("–")');
  await picture(page, 'past');
  await close();
});

test('the model of an index, one look-up, sizes', async () => {
  const { page, close } = await open();
  assert.equal(await page.inputValue('#indexes'), 'readings_id_kyro');
  assert.equal(await page.locator('#model .dot').count(), 121);
  const [{ low, high }] = await cluster.sql('SELECT min(id)::text AS low, max(id)::text AS high FROM shop.readings');
  const key = (await cluster.sql('SELECT id::text AS id FROM shop.readings OFFSET 70000 LIMIT 1'))[0].id;
  await page.fill('#trace [name=key]', key);
  await page.click('#trace button');
  const [{ leaf, matches }] = await cluster.sql(`SELECT true_position::text AS leaf, matches FROM kyro.trace('shop.readings_id_kyro', '${key}')`);
  assert.ok(Number(matches) > 0);
  await page.waitForSelector(`#trace-answer:has-text(": ${matches} found")`);
  assert.match(await page.textContent('#trace-answer'), new RegExp(`it is leaf ${leaf}\\b`));
  // drawn where it belongs
  const across = Number(await page.getAttribute('#model line.sought', 'x1'));
  assert.ok(Math.abs(across - (30 + ((Number(key) - Number(low)) / (Number(high) - Number(low))) * 740)) < 1, String(across));
  const row = page.locator('#sizes tr', { hasText: 'readings' });
  const times = Number(await row.locator('td:nth-child(4)').textContent());
  const [{ real }] = await cluster.sql("SELECT round(pg_relation_size('shop.readings_id_btree')::numeric / pg_relation_size('shop.readings_id_kyro'), 1)::float AS real");
  assert.ok(Math.abs(times - real) < 0.06 && times > 2, `${times} ${real}`);
  await picture(page, 'desktop');
  await close();
});

test('vectors, where there is pgvector', async () => {
  const [{ there }] = await cluster.sql("SELECT to_regclass('shop.colours') IS NOT NULL AS there");
  const { page, close } = await open();
  assert.equal(await page.isVisible('#vectors'), there);
  if (there) {
    await page.fill('#near [name=vector]', '1, 0.4, 0.1');
    await page.click('#near button');
    await page.waitForSelector('#near-answer:has-text("8 found")');
    const [{ id }] = await cluster.sql("SELECT id::text FROM shop.colours ORDER BY rgb <-> '[1,0.4,0.1]' LIMIT 1");
    assert.equal(await page.getAttribute('#found li', 'data-id'), id);
  }
  await close();
});

test('by keyboard alone', async () => {
  const { page, close } = await open({}, '');
  const focused = () => page.evaluate(() => document.activeElement.closest('form')?.id + ' ' + (document.activeElement.name || document.activeElement.tagName));
  await page.keyboard.press('Tab');
  await page.keyboard.type(token);
  await page.keyboard.press('Enter');
  await page.waitForSelector('body[data-ready=yes]');
  const reached = [];
  for (let i = 0; i < 30; i++) {
    await page.keyboard.press('Tab');
    const at = await focused();
    reached.push(at);
    // what has the focus can be seen to have it
    if (i < 3) assert.notEqual(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), 'none');
    if (at === 'append kind') {
      await page.keyboard.type('typed');
      await page.keyboard.press('Enter');
      await page.waitForSelector('#events li:has-text("typed")');
    }
  }
  for (const at of ['append payload', 'put key', 'get key', 'scan to', 'trace index', 'trace key']) assert.ok(reached.includes(at), `${at} of ${reached}`);
  await close();
});

test('on a phone', async () => {
  const width = 360;
  const { page, close } = await open({ viewport: { width, height: 740 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 });
  // (innerWidth grows with what is too wide)
  const { wide, small } = await page.evaluate((width) => ({
    wide: [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > width + 1).map((e) => e.tagName + '#' + e.id),
    small: [...document.querySelectorAll('button, input, select')].filter((e) => e.offsetParent && e.type !== 'range' && e.getBoundingClientRect().height < 36).map((e) => e.outerHTML),
  }), width);
  assert.deepEqual(wide, []);
  assert.deepEqual(small, []);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
  await page.tap('#append button');
  await page.waitForSelector('#append-answer:has-text("appended")');
  await picture(page, 'phone');
  await close();
});

test('it can be read: labels, contrast, dark', async () => {
  const { page, close } = await open({ colorScheme: 'dark' });
  assert.deepEqual(await page.$$eval('input, select', (list) => list.filter((e) => e.labels.length === 0).map((e) => e.outerHTML)), []);
  for (const scheme of ['dark', 'light']) {
    await page.emulateMedia({ colorScheme: scheme });
    const worst = await page.evaluate(() => {
      const parts = (c) => c.match(/[\d.]+/g).slice(0, 3).map(Number);
      const light = (c) => parts(c).map((v) => { const s = v / 255; return s <= 0.04 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4; }).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      const ground = (e) => { for (let p = e; p; p = p.parentElement) { const c = getComputedStyle(p).backgroundColor; if (!c.endsWith(', 0)')) return c; } return 'rgb(255, 255, 255)'; };
      const ratio = (e) => { const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((m, n) => n - m); return (a + 0.05) / (b + 0.05); };
      return Math.min(...[...document.querySelectorAll('h1, h2, p, label, button, td, th, a, caption, figcaption')].filter((e) => e.textContent.trim() && e.offsetParent).map(ratio));
    });
    assert.ok(worst >= 4.5, `${scheme}: ${worst}`);
  }
  await page.emulateMedia({ colorScheme: 'dark' });
  await picture(page, 'dark');
  await close();
});

test('nothing goes wrong, and nobody else is asked; the token is in no address', async () => {
  await append('one');
  const { page, wrong, asked, close } = await open();
  await until('events', async () => (await offsets(page)).length > 0);
  assert.deepEqual(wrong, []);
  assert.ok(asked.length > 10);
  for (const url of asked) assert.ok(url.startsWith(gateway.url) && (!url.includes(token) || url.includes('#')), url);
  assert.ok(!page.url().includes(token));
  assert.deepEqual(await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie]), [0, 0, '']);
  await close();
});

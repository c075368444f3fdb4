// The examples of docs/gateway.md and README.md: calls of curl, and the configuration.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { checkConfig } from '../lib/config.js';
import { root, setUp } from './support.js';

const { gateway, tokens } = await setUp({}, "SET ROLE app; SET search_path = app; SELECT kyro.create_log('orders'), kyro.create_log('clicks'), kyro.append('clicks', '{}'); RESET ROLE;");
const blocks = (file, kind) => [...readFileSync(join(root, file), 'utf8').matchAll(new RegExp(`^\`\`\`${kind}\\n([^]*?)^\`\`\``, 'mg'))].map((m) => m[1]);

test('calls', () => {
  const calls = ['docs/gateway.md', 'README.md'].flatMap((file) => blocks(file, 'sh')).join('\n').replace(/\\\n/g, ' ').split('\n').filter((line) => line.startsWith('curl'));
  assert.ok(calls.length >= 4, String(calls.length));
  for (const call of calls) {
    const endless = call.includes('/subscribe');
    const command = call.replaceAll('127.0.0.1:8080', `127.0.0.1:${gateway.port}`).replace('curl', endless ? 'curl -s -S -m 3' : 'curl -s -S -f');
    const { stdout, stderr, status } = spawnSync('sh', ['-c', command], { encoding: 'utf8', env: { ...process.env, TOKEN: tokens.app } });
    assert.equal(status, endless ? 28 : 0, `${call}: ${stderr}`);
    assert.match(stdout, endless ? /^data: \{"offset":"1"/m : /"offset":"1"/, call);
  }
});

test('the configuration', () => {
  const [config, ...others] = blocks('docs/gateway.md', 'json').map((text) => JSON.parse(text.replace('…', ''))).filter((c) => c.listen);
  assert.deepEqual(others, []);
  assert.equal(checkConfig(config).database.pool, 8);
  // each default is that of the table
  const [, table] = readFileSync(join(root, 'docs/gateway.md'), 'utf8').split('\n## Limits\n');
  for (const [name, value] of Object.entries(config.limits)) {
    const [, row] = new RegExp(`^\\| (.*\`${name}\`[^\\n]*)$`, 'm').exec(table) ?? [];
    assert.ok(row, name);
    const shown = value % 1048576 === 0 ? `${value / 1048576} MiB` : value.toLocaleString('en');
    assert.ok(row.includes(shown), `${name}: ${shown} in ${row}`);
  }
});

/** What a command loads before it knows what it is asked for is what everybody waits for who types it. */
import { readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const dist = fileURLToPath(new URL('../../dist/', import.meta.url));

/** Of our own modules those that come with one, as it is built; what is loaded on demand is not among them. */
function modulesBehind(entry: string): string[] {
  const seen = new Set<string>();
  const waiting = [join(dist, entry)];
  for (const file of waiting) {
    if (seen.has(file)) continue;
    seen.add(file);
    for (const [, from] of readFileSync(file, 'utf8').matchAll(/^(?:import|export)\b[^;]*?["'](\.[^"']+)["'];/gm)) {
      waiting.push(resolve(dirname(file), from!));
    }
  }
  return [...seen].map((file) => relative(dist, file));
}

const runsTasks = /^(open\.js|worker\/(worker|executors)|coordinator\/|brokers\/|elections\/|journals\/on-engine)/;

it.each([
  ['the command line itself', 'cli/program.js', runsTasks],
  ['an operator’s verb', 'cli/admin/define.js', runsTasks],
  ['submit', 'cli/submit-program.js', runsTasks],
  ['a worker’s supervisor', 'start-worker.js', /^(open\.js|worker\/worker\.js|worker\/executors|coordinator\/|brokers\/carried)/],
])('%s loads nothing of what runs tasks', (_, entry, others) => {
  const modules = modulesBehind(entry);
  expect(modules.length).toBeGreaterThan(20);
  expect(modules.filter((module) => others.test(module))).toEqual([]);
});

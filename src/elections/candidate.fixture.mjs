/**
 * A process that campaigns: `<url> <cluster> <ttlMs> <id>`. Says `leading` and `lost`, each on a line; on `ask` whether it leads,
 * on `resign` it resigns, closes, and ends because nothing is left to do.
 */
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { openElection } from '../../dist/election-of.js';

const [url = '', cluster = '', ttlMs = '', id = ''] = process.argv.slice(2);
const election = await openElection(url, { cluster, ttlMs: Number(ttlMs) });

/** @param {string} line */
const say = (line) => void writeSync(1, `${line}\n`);

const leadership = await election.campaign({ id, address: 'hello' }, new AbortController().signal);
leadership.lost.addEventListener('abort', () => say('lost'));
say('leading');

for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'ask') say(leadership.lost.aborted ? 'lost' : 'still leading');
  if (line === 'resign') break;
}
await leadership.resign();
await election.close();
process.stdin.destroy();

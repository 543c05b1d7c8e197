/**
 * A process that appends to a journal and says what was confirmed, until it is killed or another opener has taken the
 * journal: `<directory> <name of the writer> <mode>`. Each confirmed entry is one line: stream, seq.
 */
import { writeSync } from 'node:fs';
import { openFileJournal } from '../../../dist/journals/file/journal.js';

const [directory = '', writer = '', mode = ''] = process.argv.slice(2);
const journal = await openFileJournal(directory, { segmentBytes: 50_000, takeOver: mode === 'take-over' });

/** @param {string} stream */
async function countOf(stream) {
  let count = 0;
  for await (const entries of journal.read(stream, { from: 0, part: 'head' })) count += entries.length;
  return count;
}

/** @param {string} line */
function say(line) {
  // At once and whole, so that what was said survives the kill.
  writeSync(1, `${line}\n`);
}

/** @param {string} stream */
async function appendForEver(stream) {
  for (let seq = await countOf(stream); ; seq += 1) {
    const body = Buffer.alloc((seq * 37) % 3000, `${stream}/${seq};`);
    await journal.append([{ stream, seq, writer, head: Buffer.from(`${stream}#${seq}`), body: [body] }]);
    say(`${stream} ${seq}`);
  }
}

async function dropForEver() {
  for (let round = 0; ; round += 1) {
    const stream = `job-${writer}-${round}`;
    for (let seq = 0; seq < 3; seq += 1) {
      await journal.append([{ stream, seq, writer, head: Buffer.from('h'), body: [Buffer.alloc(2000, 1)] }]);
    }
    await journal.drop(stream);
    say(`${stream} dropped`);
  }
}

say('open');
await Promise.all([appendForEver('a'), appendForEver('b'), dropForEver()]).catch((error) => say(`ended ${error.code}`));
await journal.close();

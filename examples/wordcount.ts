/**
 * The most frequent words in all text files under a folder.
 *
 *   shoal run examples/wordcount.ts [FOLDER] [--top N] [--compare]
 *
 * A word is a longest run of the letters A to Z, in lower case; so `tr -cs A-Za-z '\n' | tr A-Z a-z | sort | uniq -c`
 * counts the same. A file with a NUL byte in its first 8 KiB is binary and is left out, like one that can't be read.
 * `--compare` also measures one thread, in the same run and after a pass of each to warm up, and prints the speed-up.
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Cluster, connect, main, task } from 'shoal';

/** Many small files travel as one task, and its counts as one result. */
const batchBytes = 2 ** 20;
const sniffedBytes = 8192;

interface Counts {
  words: Map<string, number>;
  files: number;
  bytes: number;
  binary: number;
  unreadable: number;
}

export const countWords = task('words.count', (paths: string[]): Counts => {
  const counts: Counts = { words: new Map(), files: 0, bytes: 0, binary: 0, unreadable: 0 };
  for (const path of paths) {
    const content = readText(path);
    if (typeof content === 'string') counts[content]++;
    else {
      counts.files++;
      counts.bytes += content.length;
      addWords(content, counts.words);
    }
  }
  return counts;
});

export const mergeCounts = task('words.merge', (parts: Counts[]): Counts => {
  const [first, ...others] = parts as [Counts, ...Counts[]];
  for (const { words, files, bytes, binary, unreadable } of others) {
    for (const [word, count] of words) first.words.set(word, (first.words.get(word) ?? 0) + count);
    first.files += files;
    first.bytes += bytes;
    first.binary += binary;
    first.unreadable += unreadable;
  }
  return first;
});

main(async ({ args, cluster }) => {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { top: { type: 'string', default: '20' }, compare: { type: 'boolean', default: false } },
  });
  const folder = positionals[0] ?? '.';
  const batches = await batchesIn(folder);
  if (batches.length === 0) return console.log(`no files in ${folder}`);

  let alone: number | undefined;
  if (values.compare) {
    await using single = await connect('local:1');
    // Nobody is to pay for reading the disk, starting threads, or compiling the loop.
    for (const each of [single, cluster]) await count(each, batches, 'Warming up');
    alone = (await count(single, batches, 'One thread')).seconds;
  }
  const { counts, seconds } = await count(cluster, batches, values.compare ? 'All threads' : 'Counting words');

  const sorted = [...counts.words].sort(([a, countA], [b, countB]) => countB - countA || (a < b ? -1 : 1));
  for (const [word, count] of sorted.slice(0, Number(values.top))) console.log(`${String(count).padStart(10)} ${word}`);
  const total = sorted.reduce((sum, [, count]) => sum + count, 0);
  const megabytes = counts.bytes / 1e6;
  console.log(`\n${number(total)} words, ${number(sorted.length)} different, in ${number(counts.files)} text files`);
  console.log(`left out: ${number(counts.binary)} binary files, ${number(counts.unreadable)} unreadable`);
  console.log(`${megabytes.toFixed(1)} MB in ${seconds.toFixed(2)} s: ${(megabytes / seconds).toFixed(1)} MB/s`);
  if (alone !== undefined) console.log(`one thread: ${alone.toFixed(2)} s; speed-up ${(alone / seconds).toFixed(2)}×`);
});

async function count(cluster: Cluster, batches: string[][], title: string): Promise<{ counts: Counts; seconds: number }> {
  const started = performance.now();
  const counts = await countWords.on(cluster).map(batches, { progress: title }).reduce(mergeCounts.on(cluster));
  return { counts, seconds: (performance.now() - started) / 1000 };
}

/** The largest first: one that came last would keep one thread busy while the others have nothing left to do. */
async function batchesIn(folder: string): Promise<string[][]> {
  const batches: { paths: string[]; bytes: number }[] = [];
  for await (const { path, size } of filesIn(folder)) {
    const last = batches.at(-1);
    if (last && last.bytes + size <= batchBytes) {
      last.paths.push(path);
      last.bytes += size;
    } else batches.push({ paths: [path], bytes: size });
  }
  return batches.sort((a, b) => b.bytes - a.bytes).map(({ paths }) => paths);
}

/** Regular files only: a link could lead out of the folder, or round in circles. */
async function* filesIn(folder: string): AsyncGenerator<{ path: string; size: number }> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesIn(path);
    else if (entry.isFile()) yield { path, size: (await stat(path).catch(() => undefined))?.size ?? 0 };
  }
}

/** A thread has nothing else to do meanwhile, so it reads in the simplest way. */
function readText(path: string): Buffer | 'binary' | 'unreadable' {
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    const start = Buffer.allocUnsafe(sniffedBytes);
    const length = readSync(file, start, 0, sniffedBytes, 0);
    if (start.subarray(0, length).includes(0)) return 'binary';
    return length < sniffedBytes ? start.subarray(0, length) : readFileSync(file);
  } catch {
    return 'unreadable';
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** Adds the words of one file. Bytes are read as Latin-1, one character each: no letter of ours is elsewhere. */
function addWords(content: Buffer, into: Map<string, number>): void {
  const text = content.toString('latin1');
  let start = -1;
  for (let at = 0; at <= content.length; at++) {
    const code = content[at]! | 32;
    if (code >= 97 && code <= 122) {
      if (start < 0) start = at;
    } else if (start >= 0) {
      const word = text.slice(start, at).toLowerCase();
      into.set(word, (into.get(word) ?? 0) + 1);
      start = -1;
    }
  }
}

const number = (value: number): string => value.toLocaleString('en');

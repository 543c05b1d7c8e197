/** Every program of examples/ as a user runs it, on real input, against an answer that something else computed. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inflateSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root, run } from './packed.ts';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-examples-'));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** What the program wrote to stdout. */
async function example(name: string, ...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await run(
    process.execPath,
    [join(root, 'dist/cli/bin.js'), 'run', `examples/${name}.ts`, ...args],
    root,
  );
  if (status !== 0) throw new Error(`${name} ended with ${status}\n${stderr}`);
  return stdout;
}

async function shell(script: string, ...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await run('sh', ['-c', script, 'sh', ...args], folder, { LC_ALL: 'C' });
  if (status !== 0) throw new Error(stderr);
  return stdout;
}

describe('primes', () => {
  it.each([
    ['0', '0'],
    ['2', '1'],
    ['30', '10'],
    ['10000000', '664579'],
    ['100000000', '5761455'],
  ])('counts those up to %s', async (limit, count) => {
    expect(await example('primes', limit)).toBe(`${count}\n`);
  });
});

describe('montecarlo', () => {
  it('gives the same digits on one thread and on three, near the closed form', async () => {
    const expected = [
      'simulated      7.133048   2,000,000 paths, standard error 0.008858',
      'Black–Scholes  7.128065',
      'difference     0.004983 = 0.56 standard errors',
      '',
    ].join('\n');
    for (const threads of ['1', '3']) {
      const args = [join(root, 'dist/cli/bin.js'), 'run', '--threads', threads, 'examples/montecarlo.ts', '2000000'];
      expect((await run(process.execPath, args, root)).stdout).toBe(expected);
    }
  });
});

describe('wordcount', () => {
  it('counts as sort and uniq do, leaves binary files out, and measures one thread beside many', async () => {
    const texts = join(folder, 'texts');
    await mkdir(join(texts, 'deep/er'), { recursive: true });
    const words = ['Shoal', 'shoal', 'fish', "fisher's", 'naïve', 'x86', 'END', 'snake_case', 'é', '7'];
    for (let file = 0; file < 40; file++) {
      const text = Array.from({ length: 4_000 }, (_, word) => words[(file * 7 + word * word) % words.length]).join(file % 2 ? ' ' : '\n');
      await writeFile(join(texts, file % 3 ? 'deep' : 'deep/er', `${file}.txt`), text);
    }
    await writeFile(join(texts, 'empty'), '');
    await writeFile(join(texts, 'README.md'), await readFile(join(root, 'README.md')));

    const expected = await shell(
      `find "$1" -type f -exec sh -c 'cat "$1"; echo' sh {} ';' | tr -cs 'A-Za-z' '\\n' | tr 'A-Z' 'a-z' | grep . | sort | uniq -c | sort -k1,1nr -k2,2`,
      texts,
    );
    await writeFile(join(texts, 'binary'), 'binary words \0 that do not count');
    const output = await example('wordcount', texts, '--top', '100000', '--compare');
    const [counts, summary] = output.split('\n\n');
    const columns = (text: string): string[] =>
      text
        .trim()
        .split('\n')
        .map((line) => line.trim());
    expect(columns(counts!)).toEqual(columns(expected));
    expect(summary).toContain('in 42 text files\nleft out: 1 binary files, 0 unreadable\n');
    expect(summary).toMatch(/one thread: [\d.]+ s; speed-up [\d.]+×/);
  });
});

describe('logs', () => {
  it('reports what zcat and awk find, and names a damaged file', async () => {
    const logs = join(folder, 'logs');
    expect(await example('logs', '--make', logs, '--hours', '3', '--lines', '5000')).toContain('3 files');
    const report = await example('logs', logs, '--top', '100000');
    const byPath = await shell(
      `zcat "$1"/*.gz | awk '{ split($7, part, "?"); path = part[1]; hits[path]++; bytes[path] += $10
         if ($9 ~ /^4/) client[path]++; if ($9 ~ /^5/) server[path]++ }
         END { for (path in hits) printf "%d %d %d %.1f %s\\n", hits[path], client[path], server[path], bytes[path] / 1e6, path }' |
         sort -k1,1nr -k5,5`,
      logs,
    );
    const rows = report.split('\n\n')[0]!.split('\n').slice(1);
    const shown = rows
      .map((row) => row.trim().split(/\s+/))
      .map(([hits, client, server, , megabytes, path]) => [hits, client, server, megabytes, path].join(' '));
    expect(shown).toEqual(byPath.trim().split('\n'));
    const totals = await shell(`zcat "$1"/*.gz | awk '{ bytes += $10 } END { printf "%d %d", NR, bytes }'`, logs);
    const [lines, bytes] = totals.split(' ');
    expect(report).toContain(`${lines} hits`);
    expect(report).toContain(`${bytes} bytes`);

    const whole = await readFile(join(logs, 'access-01.log.gz'));
    await writeFile(join(logs, 'access-01.log.gz'), whole.subarray(0, whole.length / 2));
    expect(await example('logs', logs)).toContain(`damaged: ${join(logs, 'access-01.log.gz')}`);
  });
});

describe('mandelbrot', () => {
  it('paints the same picture every time', async () => {
    const file = join(folder, 'picture.png');
    expect(await example('mandelbrot', file, '--width', '300', '--height', '200')).toBe(`${file}\n`);
    const png = await readFile(file);
    expect(png.subarray(0, 8).toString('latin1')).toBe('\x89PNG\r\n\x1a\n');
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([300, 200]);
    const pixels = decode(png, 300, 200);
    expect(createHash('sha256').update(pixels).digest('hex')).toBe('c2530754dcc9d67b806789f2d56199feb8f5db106a0d151110b6e7c3c4e58579');
  });
});

describe('compress', () => {
  it('makes a file that gzip reads back', async () => {
    const file = join(folder, 'numbers.txt');
    await writeFile(file, Array.from({ length: 200_000 }, (_, line) => `line ${line} ${line * line}\n`).join(''));
    const output = await example('compress', file, '--part-bytes', '500000');
    expect(output).toContain(`${file}.gz: `);
    const sums = await shell('gzip -t "$1.gz" && gzip -dc "$1.gz" | cmp - "$1" && grep -c . "$1"', file);
    expect(sums.trim()).toBe('200000');
  });
});

/** The pixels of a PNG of eight-bit RGB whose rows have the filter Sub. */
function decode(png: Buffer, width: number, height: number): Buffer {
  const parts: Buffer[] = [];
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at);
    if (png.toString('latin1', at + 4, at + 8) === 'IDAT') parts.push(png.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  const rows = inflateSync(Buffer.concat(parts));
  const rowBytes = width * 3;
  expect(rows.length).toBe(height * (rowBytes + 1));
  const pixels = Buffer.alloc(height * rowBytes);
  for (let row = 0; row < height; row++) {
    expect(rows[row * (rowBytes + 1)]).toBe(1);
    for (let byte = 0; byte < rowBytes; byte++) {
      const left = byte < 3 ? 0 : pixels[row * rowBytes + byte - 3]!;
      pixels[row * rowBytes + byte] = rows[row * (rowBytes + 1) + 1 + byte]! + left;
    }
  }
  return pixels;
}

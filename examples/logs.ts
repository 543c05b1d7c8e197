/**
 * What do the access logs say? Reads many gzipped logs in the combined format, a task for each file.
 *
 *   shoal run examples/logs.ts --make DIR [--hours 24] [--lines 100000]   writes logs to try it on, a file an hour,
 *                                                                         of up to so many lines
 *   shoal run examples/logs.ts DIR [--top 10]
 *
 * A damaged file does not spoil the report: what could be read of it is counted, and the file is named.
 */
import { createReadStream } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { createGunzip, gzipSync } from 'node:zlib';
import { main, task } from 'shoal';

interface Traffic {
  hits: number;
  clientErrors: number;
  serverErrors: number;
  bytes: number;
}

interface Report {
  lines: number;
  /** Lines in another format. */
  odd: number;
  damaged: string[];
  byPath: Map<string, Traffic>;
  /** By `24/Nov/2026:06:36`. */
  byMinute: Map<string, Traffic>;
}

const format = /^\S+ \S+ \S+ \[([^\]]+):\d\d [^\]]+\] "[A-Z]+ ([^ ?"]+)[^"]*" (\d{3}) (\d+|-)/;

export const scan = task('logs.scan', async (path: string, { signal }): Promise<Report> => {
  const report: Report = { lines: 0, odd: 0, damaged: [], byPath: new Map(), byMinute: new Map() };
  const unzipped = createGunzip().setEncoding('utf8');
  try {
    await pipeline(createReadStream(path), unzipped, (chunks: AsyncIterable<string>) => addLines(report, chunks), { signal });
  } catch (error) {
    // The code of what zlib can't read: Z_DATA_ERROR, Z_BUF_ERROR…
    if (!(error instanceof Error && 'code' in error && String(error.code).startsWith('Z_'))) throw error;
    report.damaged.push(path);
  }
  return report;
});

export const merge = task('logs.merge', (parts: Report[]): Report => {
  const [first, ...others] = parts as [Report, ...Report[]];
  for (const { lines, odd, damaged, byPath, byMinute } of others) {
    first.lines += lines;
    first.odd += odd;
    first.damaged.push(...damaged);
    for (const [path, traffic] of byPath) addTraffic(first.byPath, path, traffic);
    for (const [minute, traffic] of byMinute) addTraffic(first.byMinute, minute, traffic);
  }
  return first;
});

export const makeLog = task('logs.make', async ({ folder, hour, lines }: { folder: string; hour: number; lines: number }) => {
  const text = gzipSync([...inventedLines(hour, lines)].join(''));
  await writeFile(join(folder, `access-${String(hour).padStart(2, '0')}.log.gz`), text);
  return text.length;
});

main(async ({ args }) => {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      make: { type: 'string' },
      hours: { type: 'string', default: '24' },
      lines: { type: 'string', default: '100000' },
      top: { type: 'string', default: '10' },
    },
  });
  if (values.make !== undefined) return make(values.make, Number(values.hours), Number(values.lines));
  const folder = positionals[0] ?? '.';
  const files = (await readdir(folder)).filter((name) => name.endsWith('.gz')).map((name) => join(folder, name));
  if (files.length === 0) return console.log(`no .gz files in ${folder}`);
  print(await scan.map(files.sort(), { progress: 'Reading logs' }).reduce(merge), Number(values.top));
});

async function addLines(report: Report, chunks: AsyncIterable<string>): Promise<void> {
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop()!;
    for (const line of lines) addLine(report, line);
  }
  if (rest !== '') addLine(report, rest);
}

function addLine(report: Report, line: string): void {
  report.lines++;
  const match = format.exec(line);
  if (!match) {
    report.odd++;
    return;
  }
  const [, minute, path, status, size] = match as unknown as [string, string, string, string, string];
  const traffic = {
    hits: 1,
    clientErrors: status[0] === '4' ? 1 : 0,
    serverErrors: status[0] === '5' ? 1 : 0,
    bytes: size === '-' ? 0 : Number(size),
  };
  addTraffic(report.byPath, path, traffic);
  addTraffic(report.byMinute, minute, traffic);
}

function addTraffic(to: Map<string, Traffic>, key: string, { hits, clientErrors, serverErrors, bytes }: Traffic): void {
  const sum = to.get(key);
  if (!sum) {
    to.set(key, { hits, clientErrors, serverErrors, bytes });
    return;
  }
  sum.hits += hits;
  sum.clientErrors += clientErrors;
  sum.serverErrors += serverErrors;
  sum.bytes += bytes;
}

function print(report: Report, top: number): void {
  const sorted = [...report.byPath].sort(([a, one], [b, other]) => other.hits - one.hits || (a < b ? -1 : 1));
  console.log('      hits       4xx       5xx   5xx/1000         MB  path');
  for (const [path, { hits, clientErrors, serverErrors, bytes }] of sorted.slice(0, top)) {
    const columns = [hits, clientErrors, serverErrors].map((count) => String(count).padStart(9)).join(' ');
    console.log(` ${columns} ${((1000 * serverErrors) / hits).toFixed(2).padStart(10)} ${(bytes / 1e6).toFixed(1).padStart(10)}  ${path}`);
  }
  const total = { hits: 0, clientErrors: 0, serverErrors: 0, bytes: 0 };
  for (const { hits, clientErrors, serverErrors, bytes } of report.byPath.values()) {
    total.hits += hits;
    total.clientErrors += clientErrors;
    total.serverErrors += serverErrors;
    total.bytes += bytes;
  }
  console.log(`\n${total.hits} hits, ${total.clientErrors} 4xx, ${total.serverErrors} 5xx, ${total.bytes} bytes, ${sorted.length} paths`);
  console.log(`${report.lines} lines, ${report.odd} in another format`);
  for (const path of report.damaged) console.log(`damaged: ${path}`);
  printMinutes(report.byMinute);
}

/** A row for each hour, a bar for each of its minutes. */
function printMinutes(byMinute: ReadonlyMap<string, Traffic>): void {
  const bars = ' ▁▂▃▄▅▆▇█';
  const most = Math.max(0, ...Array.from(byMinute.values(), ({ hits }) => hits));
  const hours = new Set(Array.from(byMinute.keys(), (minute) => minute.slice(0, 14)));
  console.log(`\nhits a minute, █ = ${most}`);
  for (const hour of [...hours].sort((a, b) => sortable(a) - sortable(b))) {
    const minutes = Array.from({ length: 60 }, (_, minute) => byMinute.get(`${hour}:${String(minute).padStart(2, '0')}`));
    const row = minutes.map((traffic) => bars[Math.ceil(((bars.length - 1) * (traffic?.hits ?? 0)) / most)]).join('');
    const errors = minutes.reduce((sum, traffic) => sum + (traffic?.serverErrors ?? 0), 0);
    console.log(`${hour.replace(':', ' ')}h ${row} ${errors > 0 ? `${errors} × 5xx` : ''}`.trimEnd());
  }
}

/** `24/Nov/2026:06` as hours that can be compared. */
function sortable(hour: string): number {
  return Date.parse(`${hour.slice(0, 11).replaceAll('/', ' ')} ${hour.slice(12)}:00 UTC`);
}

async function make(folder: string, hours: number, lines: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  const inputs = Array.from({ length: hours }, (_, hour) => ({ folder, hour, lines }));
  let bytes = 0;
  for await (const size of makeLog.map(inputs, { progress: 'Writing logs' })) bytes += size;
  console.log(`${hours} files, ${(bytes / 1e6).toFixed(1)} MB, in ${folder}`);
}

/** A shop's day: quiet at night, a few pages that everyone wants, and a checkout that fails for a while in the afternoon. */
function* inventedLines(hour: number, lines: number): Generator<string> {
  let state = 0x9e3779b9 ^ (hour + 1);
  const random = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return (state >>> 8) / 2 ** 24;
  };
  const day = new Date(Date.UTC(2026, 10, 23 + Math.floor(hour / 24)));
  const date = `${day.getUTCDate()}/Nov/2026:${String(hour % 24).padStart(2, '0')}`;
  for (let index = 0, minute = -1, left = 0; ; left--, index++) {
    while (left === 0) {
      if (++minute === 60) return;
      const busyness = 0.1 + 0.9 * Math.sin((Math.PI * (hour + minute / 60)) / 24) ** 2;
      left = Math.round((lines / 60) * busyness * (0.7 + 0.3 * random()));
    }
    const second = index % 60;
    const page = Math.floor(1 / (random() + 0.002));
    const checkout = random() < 0.08;
    const path = checkout ? '/checkout' : page === 1 ? '/' : `/product/${page}?from=search`;
    const failing = checkout && hour % 24 === 14 && minute >= 20 && minute < 35;
    const status = failing && random() < 0.6 ? 503 : random() < 0.015 ? 404 : random() < 0.002 ? 500 : 200;
    const bytes = status === 200 ? 2_000 + Math.floor(random() * 30_000) : 312;
    const address = `10.${Math.floor(random() * 256)}.${Math.floor(random() * 256)}.${Math.floor(random() * 256)}`;
    const time = `${date}:${String(minute).padStart(2, '0')}:${String(second).padStart(2, '0')} +0000`;
    yield `${address} - - [${time}] "${checkout ? 'POST' : 'GET'} ${path} HTTP/1.1" ${status} ${bytes} "-" "Mozilla/5.0"\n`;
  }
}

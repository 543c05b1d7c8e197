/**
 * `gzip -9` for one big file on all cores: split it, let a gzip process compress each part, and put the parts together.
 * A gzip file may have several members, so any gzip can read the result.
 *
 *   shoal run examples/compress.ts FILE [OUT.gz] [--part-bytes 4194304]
 *
 * The steps are a graph: how many parts there are is known only when the first step has run. Where a step's thread is
 * stopped, its gzip is stopped with it.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { createGunzip } from 'node:zlib';
import { dag, main, type Ref, task } from 'shoal';

interface Request {
  source: string;
  target: string;
  /** Where parts lie while they are worked on. */
  folder: string;
  partBytes: number;
}

interface Summary {
  parts: number;
  bytes: number;
  sha256: string;
}

export const split = task('compress.split', async ({ source, folder, partBytes }: Omit<Request, 'target'>, { exec }) => {
  await exec('split', ['-b', String(partBytes), '-a', '5', source, join(folder, 'part-')]);
  return (await readdir(folder)).sort().map((name) => join(folder, name));
});

export const zip = task('compress.zip', async (part: string, { exec }) => {
  await exec('gzip', ['-9', '-n', '-f', part]);
  return `${part}.gz`;
});

export const concatenate = task('compress.concatenate', async ({ parts, target }: { parts: string[]; target: string }, { signal }) => {
  await pipeline(inOrder(parts), createWriteStream(target), { signal });
  return target;
});

/** Reads the result back: what it holds, not what we believe we wrote. */
export const verify = task('compress.verify', async ({ target, parts }: { target: string; parts: string[] }, { signal }) => {
  const hash = createHash('sha256');
  await pipeline(createReadStream(target), createGunzip(), hash, { signal });
  return { parts: parts.length, bytes: (await stat(target)).size, sha256: hash.digest('hex') } satisfies Summary;
});

export const compress = dag('compress', (graph, request: Ref<Request>): Ref<Summary> => {
  const pieces = graph.call(split, {
    source: request.get('source'),
    folder: request.get('folder'),
    partBytes: request.get('partBytes'),
  });
  const parts = graph.map(zip, pieces);
  return graph.call(verify, { target: graph.call(concatenate, { parts, target: request.get('target') }), parts });
});

main(async ({ args, signal }) => {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { 'part-bytes': { type: 'string', default: String(4 * 2 ** 20) } },
  });
  const [source, target = `${source}.gz`] = positionals;
  if (source === undefined) throw new Error('which file?  shoal run examples/compress.ts FILE [OUT.gz]');
  const { size } = await stat(source);
  if (size === 0) throw new Error(`${source} is empty`);
  const folder = await mkdtemp(join(tmpdir(), 'compress-'));
  try {
    const content = createHash('sha256');
    const [summary] = await Promise.all([
      compress.run({ source, target, folder, partBytes: Number(values['part-bytes']) }, { signal }),
      pipeline(createReadStream(source), content, { signal }),
    ]);
    if (summary.sha256 !== content.digest('hex')) throw new Error(`${target} does not hold what ${source} holds`);
    console.log(`${target}: ${summary.parts} parts, ${size} -> ${summary.bytes} bytes, ${((100 * summary.bytes) / size).toFixed(1)} %`);
    console.log(`sha256 of its content ${summary.sha256}, as in ${source}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

async function* inOrder(files: readonly string[]): AsyncGenerator<Buffer> {
  for (const file of files) yield* createReadStream(file);
}

/**
 * The types of the public API, checked by `npm run types` and never run: what must compile, and the wrong uses that must
 * not (an `@ts-expect-error` without an error is one).
 */
import {
  type Codec,
  type Def,
  dag,
  type Job,
  main,
  type Progress,
  perThread,
  type Ref,
  RetryAfterError,
  type Settled,
  type Task,
  TaskError,
  task,
  taskRef,
} from 'shoal';
import { z } from 'zod';

const len = task('len', (s: string) => s.length);
const half = task('half', async (n: number) => ({ half: n / 2 }));
const typed = task({ name: 't', input: z.object({ at: z.coerce.date(), n: z.number().default(3) }), run: ({ at, n }) => at.getTime() + n });
const nothing = task('nothing', (_: void) => 'x');
const sum = task('sum', (x: number[]) => x[0]!);

export async function rightUses(): Promise<unknown[]> {
  const a: number = await len.run('x');
  const b: { half: number } = await len.pipe(half).run('abc');
  await typed.run({ at: '2024-01-01' });
  await typed.run({ at: new Date(), n: 4 }, { timeout: '5m', priority: 'high' });
  await nothing.run();
  await nothing.run(undefined, { retries: { retries: 2, delay: '1s' } });
  for await (const n of len.map(['a', 'b'])) n.toFixed();
  for await (const r of len.map(['a']).settled()) {
    if (r.status === 'fulfilled') r.value.toFixed();
    else r.reason.attempts.toFixed();
    r.input.toUpperCase();
  }
  const g = dag('g', (g, i: Ref<{ words: string[] }>) => g.reduce(sum, g.map(len, i.get('words'))));
  const n: number = await g.run({ words: ['a'] });
  const total: number = await len.map(new Set(['a']), { label: (s, index) => s + index, maxFailures: '5%' }).reduce(sum, { fanIn: 4 });
  const reference = taskRef<typeof len>('len');
  const job: Job<number> = await reference.with({ queue: 'q' }).submit('x');
  const counts: Progress = await len.map(['a']).done();
  const later = new RetryAfterError('busy', '30s');
  const model = perThread(
    () => new Map<string, number>(),
    (map) => map.clear(),
  );
  const size: number = (await model()).size;
  await using mapped = len.map(['a'], { order: 'completion' });
  main(async ({ args, signal, cluster }) => [args.length, signal.aborted, cluster.address, await cluster.job<number>(mapped.id)]);
  return [a, b, n, total, job, counts, later, size];
}

export const definition: Omit<Def, 'name'> = {
  retries: { retries: 2, retryIf: (error, attempt) => error instanceof TaskError && attempt < 2 },
  concurrency: 8,
  codec: 'json',
  onFailure: 'drop',
  module: new URL(import.meta.url),
};
export const withOwnCodec = (codec: Codec): Task<number, number> => task('own', (n: number) => n, { codec });
export type Outcome = Settled<string, number>['status'];

export async function wrongUses(): Promise<void> {
  // @ts-expect-error  wrong input type
  await len.run(1);
  // @ts-expect-error  not a duration
  await len.run('x', { timeout: '5 minutes' });
  // @ts-expect-error  the output of half is not a string
  half.pipe(len);
  // @ts-expect-error  schema input misses a field
  await typed.run({ n: 3 });
  // @ts-expect-error  reduce needs a task of the mapped type
  void len.map(['a']).reduce(half);
  // @ts-expect-error  unknown key of a graph reference
  dag('bad', (g, i: Ref<{ words: string[] }>) => g.map(len, i.get('wrods')));
  // @ts-expect-error  a plain function is not a task
  void len.map(['a']).reduce((x: number[]) => x[0]!);
  // @ts-expect-error  a retryIf belongs to the definition
  await len.run('x', { retries: { retries: 1, retryIf: () => true } });
  // @ts-expect-error  a schedule is for a later version
  await len.schedule('id', { every: '1h' }, 'x');
}

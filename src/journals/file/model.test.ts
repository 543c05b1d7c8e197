/** The file journal does what the memory journal does, whatever is asked, however often it is closed or crashes in between. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { all, text } from '../journal.suite.ts';
import { ConflictError, type Journal } from '../journal.ts';
import { memoryJournal } from '../memory.ts';
import { openFileJournal } from './journal.ts';
import { copyAsCrashed, trial } from './trial.suite.ts';

const { directory } = trial();
const STREAMS = ['a', 'b', 'c', 'd'];

type Step =
  | { act: 'append'; streams: readonly string[]; seq: number; writer: string; bytes: number; together: boolean }
  | { act: 'drop'; stream: string }
  | { act: 'reopen' | 'crash' | 'reclaim' };

const streams = fc.constantFrom(...STREAMS);
const steps = fc.array(
  fc.oneof(
    {
      weight: 12,
      arbitrary: fc.record({
        act: fc.constant('append' as const),
        streams: fc.uniqueArray(streams, { minLength: 1 }),
        seq: fc.nat(5),
        writer: fc.constantFrom('v', 'w'),
        bytes: fc.nat(400),
        together: fc.boolean(),
      }),
    },
    { weight: 2, arbitrary: fc.record({ act: fc.constant('drop' as const), stream: streams }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constantFrom('reopen' as const, 'crash' as const, 'reclaim' as const) }) },
  ),
  { maxLength: 60 },
);

/** The calls of a step, one entry each, so that both journals must agree on each. */
async function append(journal: Journal, step: Step & { act: 'append' }): Promise<boolean[]> {
  const calls = step.streams.map((stream) => async () => {
    const body = Buffer.alloc(step.bytes, `${stream}${step.seq}${step.writer}`);
    const entry = { stream, seq: step.seq, writer: step.writer, head: body.subarray(0, 5), body: [body.subarray(0, 9), body.subarray(9)] };
    try {
      await journal.append([entry]);
      return true;
    } catch (error) {
      expect(error).toBeInstanceOf(ConflictError);
      return false;
    }
  });
  if (step.together) return Promise.all(calls.map((call) => call()));
  const outcomes: boolean[] = [];
  for (const call of calls) outcomes.push(await call());
  return outcomes;
}

async function contents(journal: Journal): Promise<string[]> {
  const lines: string[] = [];
  for (const stream of STREAMS) {
    for (const { seq, writer, head, body } of await all(journal, stream)) {
      const bodyText = text(Buffer.concat(body));
      const [slice] = await journal.readBodies(stream, [{ seq, offset: bodyText.length >> 1, length: bodyText.length >> 2 }]);
      lines.push(`${stream}/${seq} ${writer} ${text(head)} ${bodyText} ${text(slice)}`);
    }
  }
  return lines;
}

it('agrees with the memory journal', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (plan) => {
      const model = memoryJournal();
      const options = { segmentBytes: 1500 };
      let path = await directory();
      let journal = await openFileJournal(path, options);
      try {
        for (const step of plan) {
          if (step.act === 'append') {
            expect(await append(journal, step)).toEqual(await append(model, step));
          } else if (step.act === 'drop') {
            await Promise.all([journal.drop(step.stream), model.drop(step.stream)]);
          } else if (step.act === 'reclaim') {
            await journal.reclaimed();
          } else {
            const next = step.act === 'crash' ? await directory() : path;
            // Copied while it may be compacting: a file can go under the copy, as it could not under a crash.
            if (step.act === 'crash') await journal.reclaimed().then(() => copyAsCrashed(path, next));
            await journal.close();
            path = next;
            journal = await openFileJournal(path, options);
          }
          expect(await contents(journal)).toEqual(await contents(model));
        }
      } finally {
        await journal.close();
      }
    }),
    { numRuns: 60 },
  );
});

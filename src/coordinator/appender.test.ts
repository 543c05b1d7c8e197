import { expect, it } from 'vitest';
import { type Journal, JournalFullError, OutcomeUnknownError } from '../journals/journal.ts';
import { memoryJournal } from '../journals/memory.ts';
import { type Outside, realOutside } from '../lib/outside.ts';
import { Appender } from './appender.ts';

/** Each answer of this journal takes five seconds, and pauses take none of ours. */
function silent(answer: () => Error): { appender: Appender; nowMs: () => number } {
  let nowMs = 0;
  const journal: Journal = {
    ...memoryJournal(),
    maxEntryBytes: 1,
    durability: 'host',
    append: () => {
      nowMs += 5_000;
      return Promise.reject(answer());
    },
  };
  const outside: Outside = {
    ...realOutside,
    nowMs: () => nowMs,
    after: (ms, act) => {
      nowMs += ms;
      return realOutside.after(0, act);
    },
  };
  return { appender: new Appender(journal, outside), nowMs: () => nowMs };
}

const unknown = (): Error => new OutcomeUnknownError('no answer');

it('a leader whose journal does not answer outlasts ten seconds, and then lets another try, if there may be one (S09, S10)', async () => {
  const alone = silent(unknown);
  await expect(alone.appender.append([])).rejects.toBeInstanceOf(OutcomeUnknownError);
  expect(alone.nowMs()).toBeGreaterThan(50_000);
  const replaceable = silent(unknown);
  replaceable.appender.isReplaceable = true;
  await expect(replaceable.appender.append([])).rejects.toBeInstanceOf(OutcomeUnknownError);
  expect(replaceable.nowMs()).toBeGreaterThan(12_000);
  expect(replaceable.nowMs()).toBeLessThan(20_000);
});

it('one that was full for long is given its time to answer as any other (S02)', async () => {
  let tries = 0;
  const { appender, nowMs } = silent(() => (tries++ < 20 ? new JournalFullError('full') : unknown()));
  appender.isReplaceable = true;
  await expect(appender.append([])).rejects.toBeInstanceOf(OutcomeUnknownError);
  expect(nowMs()).toBeGreaterThan(112_000);
});

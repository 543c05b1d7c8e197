import { expect, test } from 'vitest';
import { joinThread, leaveThread, perThread } from './per-thread.ts';

test('calls that come while a value opens share it, and a failed opening is tried again', async () => {
  let openings = 0;
  const value = perThread(() => {
    openings += 1;
    if (openings === 1) throw new Error('not yet');
    return { openings };
  });
  const first = await Promise.allSettled([value(), value()]);
  expect(first.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  const [a, b] = await Promise.all([value(), value()]);
  expect(a).toBe(b);
  expect(openings).toBe(2);
});

test('the last one to leave the thread closes, newest first, whatever a closer throws', async () => {
  const closed: string[] = [];
  const older = perThread(
    () => 'older',
    (value) => void closed.push(value),
  );
  const newer = perThread(
    () => 'newer',
    (value) => {
      closed.push(value);
      throw new Error('stuck');
    },
  );
  joinThread();
  joinThread();
  await older();
  await newer();
  expect(await leaveThread()).toEqual([]);
  expect(closed).toEqual([]);
  expect(await leaveThread()).toEqual([new Error('stuck')]);
  expect(closed).toEqual(['newer', 'older']);
  await newer();
  joinThread();
  await leaveThread();
  expect(closed).toEqual(['newer', 'older', 'newer']);
});

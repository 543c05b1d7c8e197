import { expect, it } from 'vitest';
import { Driver, jobSpec, stage } from './drive.suite.ts';
import { wakesGoneMin } from './limits.ts';

const monthMs = 30 * 86_400_000;

it('alarms of jobs that are gone do not stay until they are due, however many jobs there have been (L04, rule 15)', () => {
  const d = new Driver();
  const spec = jobSpec([stage(undefined, { ttlMs: monthMs })], { deadlineWallMs: d.wallMs + monthMs });
  const kept = d.submit(spec, ['a']);
  const { size } = d.state.timers;
  for (let i = 0; i < wakesGoneMin; i++) {
    const job = d.submit(spec, ['a']);
    d.ask({ kind: 'cancel', job, reason: 'enough' });
    d.client({ kind: 'deleteJob', request: 0, job });
  }
  expect(d.state.jobs.size).toBe(1);
  expect(d.state.timers.size).toBeLessThan(2 * wakesGoneMin);
  d.takeOver();
  expect(d.state.timers.size).toBeLessThan(2 * wakesGoneMin);
  // Nor does one go that is wanted.
  expect([...d.state.timers.all()].filter((wake) => wake.wake !== 'lease' && wake.job === kept)).toHaveLength(size);
  d.pass(monthMs);
  expect(d.view(kept).state).toBe('expired');
  expect(d.state.timers.size).toBe(1);
});

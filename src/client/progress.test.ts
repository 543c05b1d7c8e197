import { expect, it } from 'vitest';
import type { JobView } from '../core/answers.ts';
import { ProgressMeter } from './progress.ts';

function view(counts: Partial<JobView>): JobView {
  return {
    job: 'j',
    name: 'n',
    state: 'running',
    version: 0,
    priority: 0,
    createdWallMs: 0,
    queued: 0,
    running: 0,
    succeeded: 0,
    failed: 0,
    skipped: 0,
    retried: 0,
    recovered: 0,
    ...counts,
  };
}

it('derives rate and rest from what became final between looks', () => {
  const meter = new ProgressMeter();
  expect(meter.of(view({ total: 100, queued: 100 }), 0)).toMatchObject({ ratePerSecond: 0, etaSeconds: undefined });
  expect(meter.of(view({ total: 100, succeeded: 15, failed: 5, queued: 80 }), 2_000)).toMatchObject({ ratePerSecond: 10, etaSeconds: 8 });
  expect(meter.of(view({ total: 100, succeeded: 100 }), 4_000)).toMatchObject({ ratePerSecond: 25, etaSeconds: 0 });
});

it('forgets what was long ago, and knows no end where inputs may still come', () => {
  const meter = new ProgressMeter();
  for (let second = 0; second <= 30; second++) meter.of(view({ succeeded: 1_000 }), second * 1_000);
  expect(meter.of(view({ succeeded: 1_000 }), 31_000)).toMatchObject({ ratePerSecond: 0, etaSeconds: undefined, total: undefined });
});

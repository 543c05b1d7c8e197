/** A signal that comes while a job is being submitted, and so has no id yet. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { main } from './main.ts';
import { installOpener } from './opener.ts';
import { installProgram, type ProgramEnd } from './program.ts';
import { ScriptedCoordinator } from './scripted-coordinator.double.ts';
import { task } from './task.ts';

const one = task('interruption.one', (n: number) => n);

let coordinator: ScriptedCoordinator;
beforeEach(() => {
  coordinator = new ScriptedCoordinator();
  coordinator.isEager = false;
  // An interrupted program ends, whatever it left open.
  vi.spyOn(process, 'exit').mockImplementation(() => undefined as never);
});
afterEach(async () => {
  // Before that it still runs, and no other main() may.
  await vi.waitFor(() => expect(process.exit).toHaveBeenCalled(), 60_000);
  vi.restoreAllMocks();
  installOpener(undefined);
  installProgram(undefined);
});

test.each([
  [true, 'detached', /^detached; 1 job goes on at .*\n {2}shoal jobs watch \S+ --address /],
  [false, 'interrupted', /^interrupted, cancelling 1 job; once more to stop at once$/],
])('elsewhere: %j: it is told at once, and what becomes of the job when that is known', async (isRemote, type, text) => {
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  installOpener(async (address, options) => {
    await held;
    return { ...(await coordinator.open(address, options)), durable: isRemote, isRemote };
  });
  const told: { type: string; text: string }[] = [];
  const ended = new Promise<ProgramEnd>((resolve) => {
    installProgram({ args: [], address: 'scripted:', tell: (kind, words) => void told.push({ type: kind, text: words }), onEnd: resolve });
  });
  await new Promise<void>((started) =>
    main(async () => {
      const running = one.run(1);
      started();
      await running;
    }),
  );
  process.emit('SIGINT', 'SIGINT');
  const first = { type: 'interrupted', text: 'interrupted; waiting for the job that is being submitted; once more to stop at once' };
  expect(told).toEqual([first]);
  release();
  expect((await ended).signal).toBe('SIGINT');
  expect(told).toEqual([first, { type, text: expect.stringMatching(text) }]);
  expect(coordinator.job.state).toBe(isRemote ? 'queued' : 'cancelled');
});

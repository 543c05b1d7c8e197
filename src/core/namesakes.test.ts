/** Two processes under one name. */
import { describe, expect, it } from 'vitest';
import { Driver, jobSpec, stage } from './drive.suite.ts';
import { beatMs, namesakeMs } from './limits.ts';

const texts = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));

/** A worker of the life `a` with a task; then one of its name and the life `b` says hello. */
function two(): { d: Driver; beat: () => void; rival: () => void } {
  const d = new Driver();
  d.hello('w1', { incarnation: 'a1', life: 'a' });
  d.submit(jobSpec([stage()]), texts(1));
  d.take();
  let number = 0;
  const beat = (): void => d.worker({ kind: 'beat', number: ++number, term: 1, lastSerial: 1, load: 0, count: 0, hash: 0 }, 'w1', 'a1');
  const rival = (): void => d.hello('w1', { incarnation: 'b1', life: 'b' });
  beat();
  d.sent.length = 0;
  rival();
  return { d, beat, rival };
}

const toRival = (d: Driver): unknown[] => d.sent.filter(({ address }) => address === 'worker.w1.b1').map(({ message }) => message);

describe('a worker whose name another has', () => {
  it('is told nothing at first, and that it is taken once the other one is heard of', () => {
    const { d, beat, rival } = two();
    expect(toRival(d)).toEqual([]);
    d.pass(beatMs);
    beat();
    rival();
    for (let again = 0; again < 2; again++) rival();
    expect(toRival(d)).toEqual(Array.from({ length: 3 }, () => ({ kind: 'nameTaken', term: 1, host: 'here', pid: 1 })));
    expect(d.warned).toEqual(['worker w1 is process 1 on here; another of that name, process 1 on here, is not let in']);
    expect(d.state.workersByName.get('w1')).toMatchObject({ incarnation: 'a1', heldTasks: 1 });
  });

  it('is let in all the same where that was a late word of a dead one (found by the simulator, seed 5001323)', () => {
    const { d, beat, rival } = two();
    d.pass(beatMs);
    beat();
    rival();
    d.pass(namesakeMs);
    rival();
    expect(toRival(d)).toMatchObject([{ kind: 'nameTaken' }, { kind: 'welcome' }]);
  });

  it('is let in once nothing is heard of the other one; what that had runs as suspect', () => {
    const { d, rival } = two();
    d.pass(namesakeMs - 1);
    rival();
    expect(toRival(d)).toEqual([]);
    d.pass(1);
    rival();
    expect(toRival(d)).toMatchObject([{ kind: 'welcome' }]);
    expect(d.assigned).toMatchObject([{ alone: true }]);
  });

  it('is let in at once where the line of the other one has closed (W11)', () => {
    const { d, rival } = two();
    d.turn([{ from: 'self', event: 'connectionClosed', address: 'worker.w1.a1' }]);
    rival();
    expect(toRival(d)[0]).toMatchObject({ kind: 'welcome' });
  });

  it('is let in at once where its supervisor has told of its death (W11)', () => {
    const { d, rival } = two();
    d.worker({ kind: 'died', how: { isOutOfMemory: false, text: 'killed' } }, 'w1', 'a1');
    rival();
    expect(toRival(d)[0]).toMatchObject({ kind: 'welcome' });
  });

  it('is the same process where only its incarnation is another: it is let in (W12)', () => {
    const { d } = two();
    d.hello('w1', { incarnation: 'a2', life: 'a' });
    expect(d.state.workersByName.get('w1')).toMatchObject({ incarnation: 'a2' });
  });
});

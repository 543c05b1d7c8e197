/** What the users' tasks do: nearly all give a result; some throw, end their thread, end the whole worker, hang, or take long. */
import { Dice } from './chance.ts';
import type { Faults } from './faults.ts';

export type Act = 'ok' | 'throw' | 'throw for good' | 'die' | 'kill' | 'kill all' | 'hang';

export interface Deed {
  act: Act;
  durationMs: number;
}

/** `attempt` of the task, `runs`: how often it was started before, whatever became of it. */
export function deedOf(faults: Faults, job: string, stage: number, index: number, attempt: number, runs: number): Deed {
  const { rates, seed } = faults.plan;
  const task = `${job}/${stage}/${index}`;
  const dice = new Dice(seed, `task/${task}`);
  const isLong = dice.chance(rates.slowTasks * 0.15);
  const longMs = dice.between(300, 7_000);
  const shortMs = dice.exponential(15);
  const durationMs = isLong && faults.allows(`slowTasks@${task}`) ? longMs : shortMs;
  const isPoison = dice.chance(0.15);
  const times = isPoison ? Number.POSITIVE_INFINITY : 1 + dice.below(3);
  const kind = dice.next();
  const list: [Act, number][] = [
    [isPoison ? 'throw for good' : 'throw', rates.throws * 0.25],
    ['die', rates.dies * 0.12],
    ['hang', rates.hangs * 0.08],
    // Even in a process of its own, as by using up the machine's memory.
    [isPoison ? 'kill all' : 'kill', rates.kills * 0.04],
  ];
  let edge = 0;
  for (const [act, share] of list) {
    edge += share;
    if (kind >= edge) continue;
    const isOver = act === 'kill' || act === 'kill all' ? runs >= times : attempt > times;
    return { act: isOver || !faults.allows(`${act}@${task}`) ? 'ok' : act, durationMs };
  }
  return { act: 'ok', durationMs };
}

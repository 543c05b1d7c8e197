/**
 * After any storm every job must come to an end, what succeeded must equal an answer computed directly, and a replay
 * must mend what failed. MODEL_SEED=from:count runs other seeds.
 */
import { expect, it } from 'vitest';
import { Model } from './model.suite.ts';

const [firstSeed = 1, runs = 120] = (process.env.MODEL_SEED ?? '1:120').split(':').map(Number);

it('whatever happens, every job ends, and what it gives is right', () => {
  const broken: string[] = [];
  for (let seed = firstSeed; seed < firstSeed + runs && broken.length < 20; seed++) {
    const model = new Model(seed);
    try {
      model.storm();
      model.calm();
      model.check(false);
      model.mend();
      model.check(true);
    } catch (error) {
      broken.push(`seed ${seed}: ${(error as Error).stack}`);
    }
  }
  expect(broken).toEqual([]);
}, 600_000);

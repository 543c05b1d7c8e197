/** A machine's disk with uploaded programs (src/worker/bundles.ts): it outlives the processes, and its answers take their time. */
import { Dice } from './chance.ts';
import { reached } from './probes.ts';
import { diskKind, type SimNode, type World } from './world.ts';

/** A program's bytes are its own name, so that whoever has them can tell whether they are right. */
export function programOf(hash: string): Uint8Array {
  return Buffer.from(`program ${hash}`, 'latin1');
}

export class Programs {
  private readonly world: World;
  private readonly node: SimNode;
  private readonly dice: Dice;
  private readonly here = new Set<string>();

  constructor(world: World, node: SimNode) {
    this.world = world;
    this.node = node;
    this.dice = new Dice(world.seed, `programs/${node.name}`);
  }

  isThere(hash: string): boolean {
    return this.here.has(hash);
  }

  has(hash: string): Promise<boolean> {
    return this.later(() => this.here.has(hash));
  }

  store(hash: string, bytes: Uint8Array): Promise<void> {
    return this.later(() => {
      if (Buffer.compare(bytes, programOf(hash)) !== 0) throw new Error(`the program ${hash} arrived damaged`);
      reached('a program comes to a worker');
      this.here.add(hash);
    });
  }

  urlOf(hash: string): string {
    return `file:///${hash}.mjs`;
  }

  private later<T>(act: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.world.after(
        0.1 + this.dice.exponential(2),
        this.node,
        () => {
          try {
            resolve(act());
          } catch (error) {
            reject(error as Error);
          }
        },
        diskKind,
      );
    });
  }
}

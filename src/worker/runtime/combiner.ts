/**
 * Results that feed a fold, kept as values until the work ends and then combined: one partial for all of them, or one
 * for each stretch of neighbouring indices where the order matters.
 */
import { ByteSink } from '../../lib/bytes.ts';
import type { TaskContext } from '../../tasks/context.ts';
import type { Definition } from '../../tasks/definition.ts';
import type { Partial } from './channel.ts';
import { indexAt } from './context.ts';
import { RunList } from './outbox.ts';
import { validate } from './verdict.ts';

interface Group {
  positions: number[];
  values: unknown[];
  durations: number[];
}

export class Combiner {
  private readonly definition: Definition;
  private readonly isOrdered: boolean;
  private readonly ranges: Uint32Array;
  private all: Group = { positions: [], values: [], durations: [] };

  constructor(definition: Definition, isOrdered: boolean, ranges: Uint32Array) {
    this.definition = definition;
    this.isOrdered = isOrdered;
    this.ranges = ranges;
  }

  add(position: number, value: unknown, durationUs: number): void {
    this.all.positions.push(position);
    this.all.values.push(value);
    this.all.durations.push(Math.round(durationUs));
  }

  /** Shares a measured time out among the last `count` values. */
  setDurations(count: number, totalUs: number): void {
    this.all.durations.fill(Math.round(totalUs / count), -count);
  }

  groups(): Group[] {
    const { all } = this;
    if (all.positions.length === 0) return [];
    return this.isOrdered ? this.neighbours(all) : [all];
  }

  /** Undefined where the combine task fails, or its value can't travel. A single value is its own partial. */
  async combine(group: Group, context: TaskContext): Promise<Partial | undefined> {
    try {
      const value = group.values.length === 1 ? group.values[0] : await this.call(group.values, context);
      const sink = new ByteSink(512);
      this.definition.codec.encode(value, sink);
      const runs = new RunList();
      for (const position of group.positions) runs.add(position);
      return { runs: runs.take(), durations: Uint32Array.from(group.durations), body: sink.take() };
    } catch {
      return undefined;
    }
  }

  private async call(values: readonly unknown[], context: TaskContext): Promise<unknown> {
    const { name, schema, run } = this.definition;
    // A copy: a combine task may sort or empty its input, and must leave the values for the way without it.
    const input = [...values];
    return run(schema ? await validate(name, schema, input) : input, context);
  }

  private neighbours(all: Group): Group[] {
    const order = all.positions.map((position, at) => ({ index: indexAt(this.ranges, position), at })).sort((a, b) => a.index - b.index);
    const groups: Group[] = [];
    let end = -1;
    for (const { index, at } of order) {
      if (index !== end) groups.push({ positions: [], values: [], durations: [] });
      const group = groups.at(-1)!;
      group.positions.push(all.positions[at]!);
      group.values.push(all.values[at]);
      group.durations.push(all.durations[at]!);
      end = index + 1;
    }
    return groups;
  }
}

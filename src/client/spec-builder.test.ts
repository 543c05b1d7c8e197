import { describe, expect, it } from 'vitest';
import { fillTemplate } from '../codecs/template.ts';
import { planOf } from './plan.ts';
import { type BuiltSpec, buildSpec } from './spec-builder.ts';
import { dag, task } from './task.ts';
import type { Ref, Task } from './types.ts';

const len = task('spec.len', (text: string) => text.length);
const double = task('spec.double', (n: number) => n * 2, { timeout: '1m', retries: 1 });
const words = task('spec.words', (text: string) => text.split(' '));
const sum = task('spec.sum', (ns: number[]) => ns.reduce((a, b) => a + b, 0));
const add = task('spec.add', ({ a, b }: { a: number; b: number }) => a + b);

function build(plan: Task<any, any>, isMany = false, over = {}): BuiltSpec {
  return buildSpec(planOf('test', plan), over, isMany);
}

/** Stages in short: `name:feed(from)`. */
function shape(built: BuiltSpec): string[] {
  return built.stages.map(({ definition, feed }) => `${definition?.name ?? '-'}:${feed.kind}${feed.kind === 'inputs' ? '' : feed.from}`);
}

describe('chains', () => {
  it('are stages of each', () => {
    const built = build(len.pipe(double).pipe(double), true);
    expect(shape(built)).toEqual(['spec.len:inputs', 'spec.double:each0', 'spec.double:each1']);
    expect(built.output).toEqual({ stage: 2, take: 'all' });
    expect(built.stages[0]!.definition!.module).toMatch(/^file:.*spec-builder\.test\.ts/);
  });

  it('take options of the task, of with, of the call, the last word counting', () => {
    const built = build(len.pipe(double.with({ timeout: '2m' })), false, { retries: 3 });
    expect(built.stages.map(({ timeoutMs, retry }) => [timeoutMs, retry.retries])).toEqual([
      [undefined, 3],
      [120_000, 3],
    ]);
  });

  it('end in a fold whose own failures are not tolerated', () => {
    const plan = planOf('test', sum);
    const built = buildSpec(planOf('test', len), { maxFailures: 5 }, true, {
      combine: plan as never,
      options: { fanIn: 4, ordered: true },
    });
    expect(built.stages[1]!.feed).toEqual({ kind: 'fold', from: 0, fanIn: 4, ordered: true });
    expect(built.stages.map(({ failuresMax }) => failuresMax)).toEqual([{ count: 5 }, { count: 0 }]);
    expect(built.output).toEqual({ stage: 1, take: 'one' });
  });
});

describe('graphs', () => {
  it('bind results into inputs by templates', () => {
    const built = build(
      dag('spec.two', (g, input: Ref<{ text: string; more: string }>) =>
        g.call(add, { a: g.call(len, input.get('text')), b: g.call(double, g.call(len, input.get('more'))) }),
      ),
    );
    expect(shape(built)).toEqual(['-:inputs', 'spec.len:each0', 'spec.len:each0', 'spec.double:each2', 'spec.add:each0']);
    expect(built.stages[1]!.args).toEqual([{ stage: 0, take: 'same', path: ['text'] }]);
    expect(built.stages[4]!.args).toEqual([
      { stage: 1, take: 'same', path: [] },
      { stage: 3, take: 'same', path: [] },
    ]);
    expect(fillTemplate(Buffer.from(built.stages[4]!.template!, 'base64'), [7, 8])).toEqual({ a: 7, b: 8 });
    expect(built.output).toEqual({ stage: 4, take: 'one' });
  });

  it('spread what a task gave, and combine it', () => {
    const built = build(dag('spec.count', (g, input: Ref<string>) => g.reduce(sum, g.map(len, g.call(words, input)), { fanIn: 8 })));
    expect(shape(built)).toEqual(['-:inputs', 'spec.words:each0', 'spec.len:spread1', 'spec.sum:fold2']);
    expect(built.output).toEqual({ stage: 3, take: 'one' });
  });

  it('make a result of what is only a property before it is spread', () => {
    const built = build(dag('spec.prop', (g, input: Ref<{ words: string[] }>) => g.reduce(sum, g.map(len, input.get('words')))));
    expect(shape(built)).toEqual(['-:inputs', 'shoal.identity:each0', 'spec.len:spread1', 'spec.sum:fold2']);
    expect(built.stages[1]!.args).toEqual([{ stage: 0, take: 'same', path: ['words'] }]);
  });

  it('hand a whole map to a call, and map over a map one by one', () => {
    const built = build(dag('spec.all', (g, input: Ref<string>) => g.call(sum, g.map(double, g.map(len, g.call(words, input))))));
    expect(shape(built)).toEqual(['-:inputs', 'spec.words:each0', 'spec.len:spread1', 'spec.double:each2', 'spec.sum:each0']);
    expect(built.stages[4]!.args).toEqual([{ stage: 3, take: 'all', path: [] }]);
  });

  it('send the list of a map that is written in them', () => {
    const built = build(
      dag('spec.list', (g, input: Ref<number>) =>
        g.map(add, [
          { a: 1, b: input },
          { a: input, b: 2 },
        ]),
      ),
    );
    expect(shape(built)).toEqual(['-:inputs', 'spec.add:inputs']);
    expect(built.stages[1]!.args).toEqual([
      { stage: 0, take: 'one', path: [] },
      { stage: 0, take: 'one', path: [] },
    ]);
    expect(built.fixed.map(({ stage, frames }) => [stage, frames.map((frame) => fillTemplate(frame, [5, 6]))])).toEqual([
      [
        1,
        [
          { a: 1, b: 5 },
          { a: 6, b: 2 },
        ],
      ],
    ]);
    expect(built.output).toEqual({ stage: 1, take: 'all' });
  });

  it('wait for what gives them no value', () => {
    const built = build(
      dag('spec.after', (g, input: Ref<string>) => {
        const first = g.call(len, input);
        return g.call(words, input, { after: [first] });
      }),
    );
    expect(built.stages[2]!.after).toEqual([1]);
  });

  it('are inlined in graphs and chains', () => {
    const inner = dag('spec.inner', (g, input: Ref<string>) => g.call(double, g.call(len, input)));
    const outer = dag('spec.outer', (g, input: Ref<string>) => g.reduce(sum, g.map(inner, g.call(words, input))));
    expect(shape(build(outer))).toEqual([
      '-:inputs',
      'spec.words:each0',
      'shoal.identity:spread1',
      'spec.len:each2',
      'spec.double:each3',
      'spec.sum:fold4',
    ]);
    expect(shape(build(inner.pipe(double)))).toEqual(['-:inputs', 'spec.len:each0', 'spec.double:each1', 'spec.double:each2']);
  });

  it('can be mapped if they only call', () => {
    const calls = dag('spec.calls', (g, input: Ref<string>) => g.call(add, { a: g.call(len, input), b: 1 }));
    const built = build(calls, true);
    expect(shape(built)).toEqual(['-:inputs', 'spec.len:each0', 'spec.add:each0']);
    expect(built.output).toEqual({ stage: 2, take: 'all' });
    const maps = dag('spec.maps', (g, input: Ref<string>) => g.map(len, g.call(words, input)));
    expect(() => build(maps, true)).toThrow(expect.objectContaining({ code: 'SH1103', hint: expect.stringContaining('spec.maps.submit') }));
  });

  it('are nothing but their input, if they say so', () => {
    expect(shape(build(dag('spec.same', (_g, input: Ref<string>) => input)))).toEqual(['-:inputs', 'shoal.identity:each0']);
    const built = build(dag('spec.field', (_g, input: Ref<{ a: number }>) => input.get('a')));
    expect(shape(built)).toEqual(['-:inputs', 'shoal.identity:each0']);
  });

  it('give their input an author where a task reads another codec', () => {
    const json = task('spec.json', (n: number) => n, { codec: 'json' });
    expect(shape(build(dag('spec.foreign', (g, input: Ref<number>) => g.call(json, input))))).toEqual([
      'shoal.identity:inputs',
      'spec.json:each0',
    ]);
  });

  it('refuse references that are not theirs, and wrong options, where they are written', () => {
    let stolen: Ref<number> | undefined;
    dag('spec.owner', (g, input: Ref<string>) => (stolen = g.call(len, input)));
    expect(() => dag('spec.thief', (g, _input: Ref<string>) => g.call(add, { a: 1, b: stolen! }))).toThrow(
      expect.objectContaining({ code: 'SH1102', message: expect.stringContaining('another graph') }),
    );
    expect(() => dag('spec.none', () => 5 as never)).toThrow(expect.objectContaining({ code: 'SH1102' }));
    expect(() => dag('spec.options', (g, input: Ref<string>) => g.call(len, input, { timeout: -1 }))).toThrow(/the option timeout/);
    expect(() => dag('spec.combine', (g, input: Ref<number[]>) => g.reduce(sum.pipe(double) as never, input))).toThrow(
      expect.objectContaining({ code: 'SH1103' }),
    );
  });

  it('name the task whose input cannot travel', () => {
    const bad = dag('spec.bad', (g, input: Ref<number>) => g.call(add, { a: input, b: (() => 1) as never }));
    expect(() => build(bad)).toThrow(/^spec\.bad: the input of spec\.add input: \$\.b is a function/);
  });
});

/** Is it a job's specification? What the core relies on, and bounds for what it would keep. */
import type { StageSpec } from '../core/spec.ts';
import { all, bool, type Check, fields, isObject, list, maybe, number, oneOf, record, text, whole } from './check.ts';

const stagesMax = 10_000;
/** The core links each stage with each that refers to it, in one go: stages × (stages + references). */
const linksMax = 16_000_000;
const millisecondsMax = 1e15;
const ms = number(0, millisecondsMax);
const stageIndex = whole(0, stagesMax);

const definition = fields({
  name: text(256, /^[^\0]+$/),
  module: maybe(text(4_096)),
  bundle: maybe(text(64, /^[0-9a-f]{64}$/)),
  codec: maybe(text(256)),
});

const feeds: Record<string, Check> = {
  inputs: fields({ kind: oneOf('inputs') }),
  each: fields({ kind: oneOf('each'), from: stageIndex }),
  spread: fields({ kind: oneOf('spread'), from: stageIndex }),
  fold: fields({ kind: oneOf('fold'), from: stageIndex, fanIn: whole(2, 1e6), ordered: bool }),
};
const feedChecks = new Map(Object.entries(feeds));

const feed: Check = (value, path) => {
  const check = isObject(value) ? feedChecks.get(String(value.kind)) : undefined;
  return check ? check(value, path) : `${path} is no way to feed a stage`;
};

const stage = fields({
  definition: maybe(definition),
  feed,
  args: maybe(list(fields({ stage: stageIndex, take: oneOf('same', 'one', 'all'), path: list(text(256), 100) }), 1_000)),
  template: maybe(text(64 * 1024 * 1024, /^[A-Za-z0-9+/=]*$/)),
  after: maybe(list(stageIndex, 1_000)),
  queue: text(256, /^.+$/),
  resources: record(number(0, 1e18), 100),
  retry: fields({
    retries: whole(0, 1_000_000),
    backoff: oneOf('exponential', 'fixed'),
    delayMs: ms,
    delayMsMax: ms,
    jitter: bool,
  }),
  timeoutMs: maybe(ms),
  ttlMs: maybe(ms),
  crashLimit: whole(0, 255),
  failuresMax: (value, path) => failuresMax(value, path),
  onFailure: oneOf('dead-letter', 'drop'),
  chunkSize: maybe(whole(1, 1e6)),
  concurrency: maybe(whole(1, 10_000)),
});

const failuresMax: Check = (value, path) =>
  isObject(value) && 'share' in value ? fields({ share: number(0, 1) })(value, path) : fields({ count: number(0, 1e15) })(value, path);

const shape = fields({
  name: text(1_024, /^[^\0]+$/),
  stages: list(stage, stagesMax),
  output: fields({ stage: stageIndex, take: oneOf('one', 'all') }),
  priority: number(-1e9, 1e9),
  deadlineWallMs: maybe(number(0, 1e16)),
  delayMs: maybe(ms),
  keepMs: ms,
  tags: maybe(record(text(1_024), 100)),
  key: maybe(text(1_024, /^.+$/s)),
});

/** Stages refer to earlier ones only, and what is referred to is there. */
const references: Check = (value, path) => {
  const { stages, output } = value as { stages: StageSpec[]; output: { stage: number } };
  if (stages.length === 0) return `${path}.stages is empty`;
  if (output.stage >= stages.length) return `${path}.output.stage does not exist`;
  let references = 0;
  for (const { args = [], after = [] } of stages) references += args.length + after.length;
  if (stages.length * (stages.length + references) > linksMax) return `${path}.stages are too many, with too many references`;
  const bases: number[] = [];
  const folded = new Set<number>();
  const cut = new Set<number>();
  for (const [index, stage] of stages.entries()) {
    const { feed: fed, args = [], after = [] } = stage;
    const from = fed.kind === 'inputs' ? [] : [fed.from];
    const earlier = [...from, ...args.map((arg) => arg.stage), ...after];
    if (earlier.some((other) => other >= index)) return `${path}.stages[${index}] refers to a stage that is not before it`;
    bases.push(fed.kind === 'each' ? bases[fed.from]! : index);
    if (fed.kind === 'fold') folded.add(fed.from);
    if (fed.kind === 'spread') cut.add(fed.from);
    const wrong = placeOf(stage, stages, bases);
    if (wrong !== undefined) return `${path}.stages[${index}] ${wrong}`;
  }
  for (const index of cut) if (folded.has(index)) return `${path}.stages[${index}] is both cut into elements and folded`;
  return undefined;
};

/**
 * Does the stage stand where the core has a place for it? `bases`: of each stage up to this one, the stage whose tasks it
 * corresponds to by index.
 */
function placeOf(
  { definition: named, feed: fed, args = [], after = [], template }: StageSpec,
  stages: StageSpec[],
  bases: number[],
): string | undefined {
  const isBare = args.length === 0 && after.length === 0 && template === undefined;
  if (fed.kind === 'inputs') {
    if (!named && !isBare) return 'has no task definition, so nothing to give arguments to';
  } else {
    if (!named) return 'has no task definition';
    if (stages[fed.from]!.feed.kind === 'fold') return 'is fed by a fold, which has one result: take it as an argument';
    if (fed.kind === 'fold' && !isBare) return 'is a fold, which takes no arguments and waits for nothing else';
    if (fed.kind === 'spread' && !stages[fed.from]!.definition) return 'cuts results that no task gave';
  }
  const base = bases.at(-1);
  const isAstray = args.some((arg) => arg.take === 'same' && (fed.kind !== 'each' || bases[arg.stage] !== base));
  return isAstray ? 'takes a result of the same index from tasks that are others' : undefined;
}

export const jobSpec: Check = all(shape, references);

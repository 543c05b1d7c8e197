/**
 * What options mean: people's words (`'30s'`, `'high'`, `'5%'`) become the numbers of a job's spec. Everything that a
 * coordinator would have to doubt is refused here, by the name of the task and of the option (SH1102).
 */
import type { JobSpec, RetrySpec, StageSpec } from '../core/spec.ts';
import { bytesToCount, durationToMs } from '../lib/duration.ts';
import { ShoalError } from '../lib/errors.ts';
import { nearest } from '../lib/similar.ts';
import type { Def, MapOptions, ReduceOptions, TaskOptions } from './types.ts';

/** Options from all their places: definition, `with`, call. */
// biome-ignore lint/suspicious/noExplicitAny: label takes the task's own input
export type AnyOptions = Partial<Omit<Def, 'name' | 'retries'>> & MapOptions<any> & Pick<Partial<Def>, 'retries'>;

/** The part of a stage that options decide. */
export type StageTerms = Omit<StageSpec, 'definition' | 'feed' | 'args' | 'template' | 'after'>;
/** The part of a job that options decide. */
export type JobTerms = Pick<JobSpec, 'priority' | 'keepMs'> & Partial<Pick<JobSpec, 'deadlineWallMs' | 'delayMs' | 'tags' | 'key'>>;

/** A task's attempts are counted in one byte; both together stay below it. */
export const retriesMax = 200;
export const crashLimitMax = 50;
/** Of one process. */
export const threadsMax = 1024;
const keyCharsMax = 512;
const inFlightDefault = 65_536;
const dayMs = 86_400_000;
const priorities: Readonly<Record<string, number>> = { low: -10, normal: 0, high: 10, urgent: 20 };
const retryDefaults = { backoff: 'exponential', delayMs: 200, delayMsMax: 30_000, jitter: true } as const;

const taskOptionNames = [
  'priority',
  'queue',
  'retries',
  'timeout',
  'ttl',
  'deadline',
  'delay',
  'idempotencyKey',
  'tags',
  'crashLimit',
  'keepResults',
  'resources',
  'signal',
] as const;
const definitionOptionNames = ['description', 'module', 'onFailure', 'concurrency', 'codec'] as const;
const mapOptionNames = ['order', 'chunkSize', 'maxInFlight', 'maxFailures', 'label', 'progress'] as const;

/** Where options were given, which decides what may be among them. */
export type OptionsPlace = 'definition' | 'call' | 'map';

const known: Readonly<Record<OptionsPlace, readonly string[]>> = {
  definition: [...taskOptionNames, ...definitionOptionNames],
  call: taskOptionNames,
  map: [...taskOptionNames, ...mapOptionNames],
};

const retryOptionNames = ['retries', 'delay', 'backoff', 'maxDelay', 'jitter'];

export function optionError(who: string, option: string, value: unknown, wanted: string): ShoalError {
  return new ShoalError('SH1102', `${who}: the option ${option} can't be ${shown(value)}`, { hint: `${option} is ${wanted}` });
}

function shown(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (typeof value === 'function') return 'a function';
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}

/** Refuses misspelt names, which would otherwise be silently without effect. */
export function checkOptionNames(who: string, place: OptionsPlace, options: unknown): asserts options is object {
  refuseUnknown(who, place === 'definition' ? ' of a task' : ` of a ${place}`, known[place], options, (name) =>
    // `retries` and `delay` are options of a task as well.
    retryOptionNames.includes(name) ? `it belongs into retries: { retries: 3, ${name}: … }` : undefined,
  );
}

/** SH1102 for what is no object of options, or has one that is not among `names`. `of`: whose, for the message. */
export function refuseUnknown(
  who: string,
  of: string,
  names: readonly string[],
  options: unknown,
  hintFor: (name: string) => string | undefined = () => undefined,
): asserts options is object {
  if (typeof options !== 'object' || options === null) {
    throw new ShoalError('SH1102', `${who}: the options${of} can't be ${shown(options)}`, {
      hint: `an object with any of ${names.join(', ')}`,
    });
  }
  for (const name of Object.keys(options)) {
    if (names.includes(name)) continue;
    const near = names.find((other) => other.toLowerCase().startsWith(name.slice(0, 4).toLowerCase())) ?? nearest(name, names)[0];
    throw new ShoalError('SH1102', `${who}: there is no option ${name}${of}`, {
      hint: hintFor(name) ?? (near ? `did you mean ${near}?` : `there are ${names.join(', ')}`),
    });
  }
}

/** Later ones win; an explicit `undefined` says nothing. */
export function mergeOptions(...layers: (AnyOptions | undefined)[]): AnyOptions {
  const merged: Record<string, unknown> = {};
  for (const layer of layers) {
    if (layer === undefined) continue;
    for (const [name, value] of Object.entries(layer)) if (value !== undefined) merged[name] = value;
  }
  return merged;
}

export function durationOption(who: string, option: string, value: unknown, leastMs: number): number {
  const ms = durationToMs(value);
  if (ms === undefined || ms < leastMs) {
    throw optionError(who, option, value, `a number of milliseconds or a text like '30s', '5m', '2h', from ${leastMs} ms to ten years`);
  }
  return ms;
}

export function countOption(who: string, option: string, value: unknown, least: number, most: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
  throw optionError(
    who,
    option,
    value,
    most === Number.MAX_SAFE_INTEGER ? `a whole number from ${least} on` : `a whole number from ${least} to ${most}`,
  );
}

/** Undefined says nothing. */
export function textOption(who: string, option: string, value: unknown): void {
  if (value !== undefined && (typeof value !== 'string' || value === '')) throw optionError(who, option, value, 'a text');
}

export function flagOption(who: string, option: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'boolean') throw optionError(who, option, value, 'true or false');
}

export function functionOption(who: string, option: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'function') throw optionError(who, option, value, 'a function');
}

export function signalOption(who: string, value: unknown): void {
  if (value !== undefined && !(value instanceof AbortSignal)) throw optionError(who, 'signal', value, 'an AbortSignal');
}

export function stageTerms(who: string, options: AnyOptions): StageTerms {
  const { timeout, ttl, chunkSize, concurrency } = options;
  return {
    queue: queueOption(who, options.queue),
    resources: resourcesOption(who, options.resources),
    retry: retryOption(who, options.retries),
    ...(timeout !== undefined && { timeoutMs: durationOption(who, 'timeout', timeout, 1) }),
    ...(ttl !== undefined && { ttlMs: durationOption(who, 'ttl', ttl, 1) }),
    crashLimit: options.crashLimit === undefined ? 3 : countOption(who, 'crashLimit', options.crashLimit, 0, crashLimitMax),
    failuresMax: failuresOption(who, options.maxFailures),
    onFailure: onFailureOption(who, options.onFailure),
    ...(chunkSize !== undefined && chunkSize !== 'auto' && { chunkSize: countOption(who, 'chunkSize', chunkSize, 1, 16_384) }),
    ...(concurrency !== undefined && { concurrency: countOption(who, 'concurrency', concurrency, 1, 10_000) }),
  };
}

export function jobTerms(who: string, options: AnyOptions, keepMsDefault: number = dayMs): JobTerms {
  const { deadline, delay, tags, idempotencyKey: key, keepResults, signal } = options;
  signalOption(who, signal);
  if (deadline !== undefined && !(deadline instanceof Date && Number.isFinite(deadline.getTime()))) {
    throw optionError(who, 'deadline', deadline, 'a valid Date');
  }
  return {
    priority: priorityOption(who, options.priority),
    keepMs: keepResults === undefined ? keepMsDefault : keepResults === false ? 0 : durationOption(who, 'keepResults', keepResults, 0),
    ...(deadline !== undefined && { deadlineWallMs: deadline.getTime() }),
    ...(delay !== undefined && { delayMs: durationOption(who, 'delay', delay, 0) }),
    ...(tags !== undefined && { tags: tagsOption(who, tags) }),
    ...(key !== undefined && { key: keyOption(who, key) }),
  };
}

export const keepMsNormal = dayMs;

/** What only a map has; none of it goes into the spec. */
export interface MapTerms {
  order: 'input' | 'completion';
  inFlightMax: number;
  label: ((input: unknown, index: number) => string) | undefined;
  progressTitle: string | undefined;
}

export function mapTerms(who: string, options: AnyOptions): MapTerms {
  const { order = 'input', maxInFlight, label, progress } = options;
  if (order !== 'input' && order !== 'completion') throw optionError(who, 'order', order, "'input' or 'completion'");
  if (label !== undefined && typeof label !== 'function') throw optionError(who, 'label', label, 'a function of input and index');
  if (progress !== undefined && typeof progress !== 'boolean' && typeof progress !== 'string') {
    throw optionError(who, 'progress', progress, 'true or a title');
  }
  return {
    order,
    inFlightMax: maxInFlight === undefined ? inFlightDefault : countOption(who, 'maxInFlight', maxInFlight, 1, 10_000_000),
    label,
    progressTitle: progress === true ? who : progress === false ? undefined : progress,
  };
}

export function reduceTerms(who: string, options: ReduceOptions): { fanIn: number; ordered: boolean } {
  refuseUnknown(who, ' of a reduce', ['fanIn', 'ordered'], options);
  const { fanIn = 16, ordered = false } = options;
  if (typeof ordered !== 'boolean') throw optionError(who, 'ordered', ordered, 'true or false');
  return { fanIn: countOption(who, 'fanIn', fanIn, 2, 65_536), ordered };
}

function retryOption(who: string, value: AnyOptions['retries']): RetrySpec {
  if (value === undefined || typeof value === 'number') {
    return { retries: countOption(who, 'retries', value ?? 0, 0, retriesMax), ...retryDefaults };
  }
  if (typeof value !== 'object' || value === null) throw optionError(who, 'retries', value, 'a number of extra attempts or a RetryPolicy');
  refuseUnknown(who, ' of retries', retryOptionNames, value, (name) =>
    name === 'retryIf'
      ? 'it is a function, and so belongs to the definition of the task: task(name, run, { retries: { retryIf, … } })'
      : undefined,
  );
  const { retries, backoff = retryDefaults.backoff, delay, maxDelay, jitter = retryDefaults.jitter } = value;
  if (backoff !== 'exponential' && backoff !== 'fixed') throw optionError(who, 'retries.backoff', backoff, "'exponential' or 'fixed'");
  if (typeof jitter !== 'boolean') throw optionError(who, 'retries.jitter', jitter, 'true or false');
  const delayMs = delay === undefined ? retryDefaults.delayMs : durationOption(who, 'retries.delay', delay, 0);
  const delayMsMax =
    maxDelay === undefined ? Math.max(retryDefaults.delayMsMax, delayMs) : durationOption(who, 'retries.maxDelay', maxDelay, 0);
  return { retries: countOption(who, 'retries.retries', retries, 0, retriesMax), backoff, delayMs, delayMsMax, jitter };
}

function failuresOption(who: string, value: MapOptions<unknown>['maxFailures']): StageSpec['failuresMax'] {
  if (value === undefined) return { count: 0 };
  const percent = typeof value === 'string' ? /^(\d+(?:\.\d+)?)%$/.exec(value)?.[1] : undefined;
  if (percent !== undefined && Number(percent) <= 100) return { share: Number(percent) / 100 };
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return { count: value };
  throw optionError(who, 'maxFailures', value, "a whole number, or a share like '5%'");
}

function priorityOption(who: string, value: TaskOptions['priority'] = 0): number {
  const number = typeof value === 'string' && Object.hasOwn(priorities, value) ? priorities[value] : value;
  if (typeof number === 'number' && Number.isFinite(number) && Math.abs(number) <= 1_000_000) return number;
  throw optionError(who, 'priority', value, "'low', 'normal', 'high', 'urgent' or a number");
}

export const isQueueName = (value: unknown): boolean => typeof value === 'string' && /^[\w.:/-]{1,200}$/.test(value);

function queueOption(who: string, value: string = 'default'): string {
  if (isQueueName(value)) return value;
  throw optionError(who, 'queue', value, 'a name of letters, digits and . : / _ -');
}

function keyOption(who: string, value: unknown): string {
  if (typeof value === 'string' && value !== '' && value.length <= keyCharsMax) return value;
  throw optionError(who, 'idempotencyKey', value, `a text of 1 to ${keyCharsMax} characters`);
}

function tagsOption(who: string, value: Record<string, string>): Record<string, string> {
  if (typeof value !== 'object' || value === null) throw optionError(who, 'tags', value, 'an object of texts');
  for (const [name, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw optionError(who, `tags.${name}`, text, 'a text');
  }
  return { ...value };
}

function onFailureOption(who: string, value: Def['onFailure'] = 'dead-letter'): StageSpec['onFailure'] {
  if (value === 'dead-letter' || value === 'drop') return value;
  throw optionError(who, 'onFailure', value, "'dead-letter' or 'drop'");
}

function resourcesOption(who: string, value: TaskOptions['resources']): Record<string, number> {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null) throw optionError(who, 'resources', value, "an object like { cpu: 2, memory: '1GiB' }");
  const amounts: [string, number][] = [];
  for (const [name, amount] of Object.entries(value)) {
    if (amount === undefined) continue;
    const number = typeof amount === 'number' ? amount : bytesToCount(amount);
    if (number === undefined || !(number >= 0 && number <= Number.MAX_SAFE_INTEGER)) {
      throw optionError(who, `resources.${name}`, amount, "a number, or bytes like '512MiB'");
    }
    amounts.push([name, number]);
  }
  return Object.fromEntries(amounts);
}

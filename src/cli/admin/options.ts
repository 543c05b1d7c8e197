/** Flags and arguments that several of these verbs take. */
import { InvalidArgumentError, Option } from 'commander';

export interface PageFlags {
  limit: number;
  after?: string;
}

const limitMax = 10_000;

export interface ChangeFlags {
  ifMatch?: number;
}

/** For whatever changes a job or a queue. */
export function ifMatchOption(thing: 'job' | 'queue'): Option {
  const text = `only if the ${thing} is still at this version (as list shows it): nobody has changed it since`;
  return new Option('--if-match <version>', text).argParser(version);
}

export function expectationOf({ ifMatch }: ChangeFlags): { expectedVersion?: number } {
  return ifMatch === undefined ? {} : { expectedVersion: ifMatch };
}

function version(text: string): number {
  if (/^\d+$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  throw new InvalidArgumentError('It is a whole number, as list and get show it.');
}

function limitOption(): Option {
  return new Option('--limit <count>', 'at most so many').default(50).argParser(count);
}

/** A page is asked for and, in its JSON, says where the next one begins. */
export function pageOptions(): Option[] {
  return [limitOption(), new Option('--after <next>', 'go on behind a page: its `next` in --json')];
}

function count(text: string): number {
  if (/^\d+$/.test(text) && Number(text) >= 1 && Number(text) <= limitMax) return Number(text);
  throw new InvalidArgumentError(`It is a whole number from 1 to ${limitMax}.`);
}

/** `--state running,failed`, or several times. */
export function stateOption<S extends string>(states: readonly S[]): Option {
  return new Option('--state <states>', `only these: ${states.join(', ')}`).argParser((text: string, before: S[] = []) => {
    const wanted = text.split(',').map((word) => word.trim() as S);
    const wrong = wanted.find((word) => !states.includes(word));
    if (wrong === undefined) return [...before, ...wanted];
    throw new InvalidArgumentError(`"${wrong}" is none of ${states.join(', ')}.`);
  });
}

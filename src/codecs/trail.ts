/**
 * Where an encoder is inside the value that it walks: the objects it is in and the key it is at in each. Gives
 * refusals their paths, the way a person would write them (`$.items[3].onClick`, `$.byName.get("Ann")`), finds
 * cycles and limits depth.
 *
 * Protocol: `begin` and `end` around each value, `enter` and `leave` around each object, `keys[level]` set before
 * each thing in it is read. A getter that encodes something itself while it is read gets a trail of its own, above.
 */
import { types } from 'node:util';
import { UnserialisableError } from './codec.ts';

/** Objects within objects; decoders count the same way, so that what was encoded can be decoded. */
export const valueDepthMax = 512;

/** A property's name, an element's index, a Map's key (then it may be anything), or one of `places`. */
export type Place = string | number | symbol;

export const places = {
  /** In the object, before its first key. */
  none: Symbol('none'),
  /** A key of a Map itself. */
  mapKey: Symbol('map key'),
} as const;

const pathLengthMax = 300;
const wordLengthMax = 60;

export class Trail {
  readonly keys: Place[] = [];
  private readonly ancestors: (object | undefined)[] = [];
  private depth = 0;
  private base = 0;

  /** What this returns goes to `end`. */
  begin(): number {
    const outerBase = this.base;
    this.base = this.depth;
    return outerBase;
  }

  /** However far the walk came; no object is kept. */
  end(outerBase: number): void {
    while (this.depth > this.base) this.leave();
    this.base = outerBase;
  }

  /** Returns the level at which the object's keys are noted. */
  enter(object: object): number {
    const level = this.depth;
    for (let i = this.base; i < level; i++) {
      if (this.ancestors[i] === object) {
        throw this.refusal(`circular (it is ${this.path(i)} again)`, 'send a tree, with ids where things refer to each other');
      }
    }
    if (level - this.base >= valueDepthMax)
      throw this.refusal(`nested more than ${valueDepthMax} levels deep`, 'send a flat list, with ids');
    this.ancestors[level] = object;
    this.keys[level] = places.none;
    this.depth = level + 1;
    return level;
  }

  leave(): void {
    this.ancestors[--this.depth] = undefined;
  }

  refusal(what: string, hint?: string): UnserialisableError {
    return new UnserialisableError(this.path(this.depth), what, hint);
  }

  /** Whatever a getter, a proxy or a toString of the user's threw; it may be anything. */
  explain(error: unknown): UnserialisableError {
    if (error instanceof UnserialisableError) return error;
    const said = types.isNativeError(error) ? error.message : typeof error === 'string' ? error : 'something';
    return this.refusal(`not readable (it threw ${JSON.stringify(said.slice(0, 200))})`);
  }

  private path(to: number): string {
    let path = '$';
    for (let level = this.base; level < to; level++) path += stepOf(this.ancestors[level], this.keys[level]);
    if (path.length <= pathLengthMax) return path;
    return `${path.slice(0, pathLengthMax / 2)}…${path.slice(-pathLengthMax / 2)}`;
  }
}

/** `.name`, `[3]` or `["a name"]`. */
export function propertyStep(key: unknown): string {
  if (typeof key === 'number') return `[${key}]`;
  return typeof key === 'string' && key.length <= wordLengthMax && /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${shownKey(key)}]`;
}

function stepOf(container: object | undefined, key: unknown): string {
  if (key === places.none) return '';
  if (types.isMap(container)) return key === places.mapKey ? '.keys()' : `.get(${shownKey(key)})`;
  if (types.isSet(container)) return `.values()[${String(key)}]`;
  return propertyStep(key);
}

function shownKey(key: unknown): string {
  if (typeof key === 'string') return JSON.stringify(key.length > wordLengthMax ? `${key.slice(0, wordLengthMax)}…` : key);
  return (typeof key === 'object' && key !== null) || typeof key === 'function' ? '…' : String(key);
}

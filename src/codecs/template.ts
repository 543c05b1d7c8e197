/**
 * Inputs that are not known yet: a msgpack value with numbered holes that a worker fills with the results of
 * earlier stages. The client encodes the template, a thread decodes it and puts the values in.
 */
import { ByteSink } from '../lib/bytes.ts';
import { ShoalError } from '../lib/errors.ts';
import type { DecodeLimits } from './codec.ts';
import { MsgpackDecoder } from './msgpack-decoder.ts';
import { MsgpackEncoder } from './msgpack-encoder.ts';
import { Hole } from './msgpack-format.ts';
import { propertyStep } from './trail.ts';

export { Hole };

const encoder = new MsgpackEncoder({ withHoles: true });
const decoder = new MsgpackDecoder();

/** `value` contains Hole instances wherever a value is missing, or is one. Refusals name paths (UnserialisableError). */
export function encodeTemplate(value: unknown): Uint8Array<ArrayBuffer> {
  const sink = new ByteSink(512);
  encoder.encode(value, sink);
  return sink.take();
}

/** The template's value with each hole replaced by `values[index]`, the very same object wherever an index repeats. */
export function fillTemplate(bytes: Uint8Array, values: readonly unknown[], limits?: DecodeLimits): unknown {
  return decoder.decode(bytes, 0, bytes.length, limits, values);
}

/** A field of a result: own properties alone, since a path comes from outside (SH1203 names the step that is missing). */
export function pick(value: unknown, path: readonly string[]): unknown {
  let at = value;
  for (let step = 0; step < path.length; step++) {
    const key = path[step]!;
    // Strings have own properties too (`length`, indices); only objects have fields that a program means.
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) {
      const missing = path
        .slice(0, step + 1)
        .map(propertyStep)
        .join('');
      throw new ShoalError('SH1203', `the result has no field ${missing}`, {
        why: `${step === 0 ? 'the result' : path.slice(0, step).map(propertyStep).join('')} is ${describe(at)}`,
        hint: 'return an object with that field, or refer to another one',
      });
    }
    at = (at as Record<string, unknown>)[key];
  }
  return at;
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value !== 'object') return `a ${typeof value}`;
  const names = Object.keys(value);
  return names.length === 0 ? 'an object without fields' : `an object with ${names.slice(0, 8).join(', ')}${names.length > 8 ? ', …' : ''}`;
}

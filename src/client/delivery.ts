/** Reads a delivery: columns of outcomes, and values as frames in one region. */
import type { Codec } from '../codecs/codec.ts';
import type { TaskFailure } from '../core/answers.ts';
import type { DeliverMessage } from '../core/messages.ts';
import type { DefinitionRef } from '../core/spec.ts';
import { concatBytes } from '../lib/bytes.ts';
import { findDefinition } from '../tasks/definition.ts';

export interface Codecs {
  output: Codec;
  input: Codec;
}

/** The codec that wrote something; `fallback` where the definition is not known in this process. */
function codecOf(ref: DefinitionRef | undefined, fallback: Codec): Codec {
  return (ref && findDefinition(ref.name)?.codec) ?? fallback;
}

type RangeDecoder = (bytes: Uint8Array, from: number, to: number) => unknown;

/** Codecs that can decode in the middle of a region spare a view per value. */
function rangeDecoder(codec: Codec): RangeDecoder {
  if (codec.decodeRange) return (bytes, from, to) => codec.decodeRange!(bytes, from, to);
  return (bytes, from, to) => codec.decode(bytes.subarray(from, to));
}

/**
 * Walks over one delivery, task by task: `next()`, then the accessors. Values are decoded when asked for, once each
 * and in order.
 */
export class DeliveryCursor {
  index = -1;
  readonly #message: DeliverMessage;
  readonly #bytes: Uint8Array;
  readonly #output: RangeDecoder;
  readonly #input: RangeDecoder;
  readonly #taskCount: number;
  #at = -1;
  #range = -2;
  #leftInRange = 0;
  #frame = 0;
  #frameEnd = 0;
  #offset = 0;
  #endOffset = 0;
  #inputOffset = 0;
  #failure = -1;

  constructor(message: DeliverMessage, codecs: Codecs) {
    this.#message = message;
    this.#bytes = concatBytes(message.body.length === 0 ? [new Uint8Array()] : message.body);
    this.#output = rangeDecoder(codecOf(message.codecOf, codecs.output));
    this.#input = rangeDecoder(codecOf(message.inputCodecOf, codecs.input));
    this.#taskCount = message.statuses.length;
    if (message.inputLengths) for (const length of message.lengths) this.#inputOffset += length;
  }

  get taskCount(): number {
    return this.#taskCount;
  }

  next(): boolean {
    const { indices, statuses, counts, lengths, inputLengths } = this.#message;
    if (++this.#at >= this.#taskCount) return false;
    if (this.#leftInRange === 0) {
      this.#range += 2;
      this.index = indices[this.#range]! - 1;
      this.#leftInRange = indices[this.#range + 1]!;
    }
    this.#leftInRange--;
    this.index++;
    if (inputLengths && this.#at > 0) this.#inputOffset += inputLengths[this.#at - 1]!;
    this.#offset = this.#endOffset;
    this.#frame = this.#frameEnd;
    this.#frameEnd += counts ? counts[this.#at]! : 1;
    for (let frame = this.#frame; frame < this.#frameEnd; frame++) this.#endOffset += lengths[frame]!;
    if (statuses[this.#at] === 1) this.#failure++;
    return true;
  }

  get failure(): TaskFailure | undefined {
    return this.#message.statuses[this.#at] === 1 ? this.#message.failures[this.#failure] : undefined;
  }

  get attempts(): number {
    return this.#message.attempts[this.#at]!;
  }

  get durationMs(): number {
    return this.#message.durations[this.#at]! / 1000;
  }

  get worker(): string {
    return this.#message.workerNames[this.#message.workers[this.#at]!] ?? '';
  }

  value(): unknown {
    const { counts, lengths } = this.#message;
    if (!counts) return this.#output(this.#bytes, this.#offset, this.#endOffset);
    const elements: unknown[] = [];
    let offset = this.#offset;
    for (let frame = this.#frame; frame < this.#frameEnd; frame++) {
      const end = offset + lengths[frame]!;
      elements.push(this.#output(this.#bytes, offset, end));
      offset = end;
    }
    return elements;
  }

  /** Only of deliveries that were asked for with inputs. */
  input(): unknown {
    const length = this.#message.inputLengths?.[this.#at];
    if (length === undefined) return undefined;
    return this.#input(this.#bytes, this.#inputOffset, this.#inputOffset + length);
  }
}

/** The quick way for a delivery of nothing but values: puts them where their indices say, and `hole` in the gaps. */
export function placeValues(message: DeliverMessage, codecs: Codecs, into: unknown[], hole: unknown): void {
  const { indices, lengths } = message;
  const decode = rangeDecoder(codecOf(message.codecOf, codecs.output));
  const bytes = concatBytes(message.body);
  let at = 0;
  let offset = 0;
  for (let range = 0; range < indices.length; range += 2) {
    const from = indices[range]!;
    const to = from + indices[range + 1]!;
    // A gap of more than a thousand would turn the array into a dictionary.
    while (into.length < from) into.push(hole);
    for (let index = from; index < to; index++) {
      const end = offset + lengths[at++]!;
      into[index] = decode(bytes, offset, end);
      offset = end;
    }
  }
}

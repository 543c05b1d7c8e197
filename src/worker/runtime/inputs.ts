/**
 * Builds tasks' inputs out of the frames of a work, front to back. A task that is passed over still moves the place;
 * a frame that can't be decoded costs its own task only. Shared values are decoded anew for each task: tasks own their
 * input and may change it.
 */
import type { Codec } from '../../codecs/codec.ts';
import { fillTemplate, pick } from '../../codecs/template.ts';
import type { ArgShape, InputShape, Work } from '../executors/executor.ts';

export interface InputReader {
  next(): unknown;
  skip(): void;
}

/** `codecs`: of the frames ('value', 'list'), or one an arg ('template'). */
export function inputReader(work: Work, codecs: readonly Codec[]): InputReader {
  const frames = new Frames(work.body, work.lengths);
  switch (work.input.kind) {
    case 'value':
      return new ValueReader(frames, codecs[0]!);
    case 'list':
      return new ListReader(frames, codecs[0]!, work.counts);
    case 'template':
      return new TemplateReader(frames, codecs, work, work.input);
  }
}

/** Walks over frames that lie one after another. */
class Frames {
  readonly body: Uint8Array;
  readonly lengths: Uint32Array;
  private frame = 0;
  private offset = 0;

  constructor(body: Uint8Array, lengths: Uint32Array, offset = 0) {
    this.body = body;
    this.lengths = lengths;
    this.offset = offset;
  }

  decode(codec: Codec): unknown {
    const from = this.offset;
    this.offset += this.lengths[this.frame++]!;
    return codec.decodeRange ? codec.decodeRange(this.body, from, this.offset) : codec.decode(this.body.subarray(from, this.offset));
  }

  bytes(): Uint8Array {
    const from = this.offset;
    this.skip(1);
    return this.body.subarray(from, this.offset);
  }

  skip(count: number): void {
    for (let i = 0; i < count; i++) this.offset += this.lengths[this.frame++]!;
  }

  place(): { frame: number; offset: number } {
    return { frame: this.frame, offset: this.offset };
  }

  goTo(place: { frame: number; offset: number }): void {
    this.frame = place.frame;
    this.offset = place.offset;
  }

  /** Runs `read` and is `count` frames further afterwards, whatever it does. */
  within<T>(count: number, read: () => T): T {
    const start = this.place();
    this.skip(count);
    const end = this.place();
    this.goTo(start);
    try {
      return read();
    } finally {
      this.goTo(end);
    }
  }
}

class ValueReader implements InputReader {
  private readonly frames: Frames;
  private readonly codec: Codec;

  constructor(frames: Frames, codec: Codec) {
    this.frames = frames;
    this.codec = codec;
  }

  next(): unknown {
    return this.frames.decode(this.codec);
  }

  skip(): void {
    this.frames.skip(1);
  }
}

class ListReader implements InputReader {
  private readonly frames: Frames;
  private readonly codec: Codec;
  private readonly counts: Uint32Array | undefined;
  private task = 0;

  constructor(frames: Frames, codec: Codec, counts: Uint32Array | undefined) {
    this.frames = frames;
    this.codec = codec;
    this.counts = counts;
  }

  next(): unknown {
    const count = this.count();
    return this.frames.within(count, () => list(this.frames, count, this.codec));
  }

  skip(): void {
    this.frames.skip(this.count());
  }

  private count(): number {
    return this.counts ? this.counts[this.task++]! : 1;
  }
}

class TemplateReader implements InputReader {
  private readonly frames: Frames;
  private readonly shared: Frames;
  private readonly sharedStart: { frame: number; offset: number };
  private readonly codecs: readonly Codec[];
  private readonly args: readonly ArgShape[];
  private readonly template: Uint8Array | undefined;
  private readonly counts: Uint32Array | undefined;
  private readonly sameCount: number;
  private task = 0;

  constructor(frames: Frames, codecs: readonly Codec[], work: Work, input: InputShape & { kind: 'template' }) {
    this.frames = frames;
    this.codecs = codecs;
    this.args = input.args;
    this.template = input.template === undefined ? undefined : Buffer.from(input.template, 'base64');
    this.counts = work.counts;
    this.sameCount = input.args.filter((arg) => arg.take === 'same').length;
    let taskBytes = 0;
    for (const length of work.lengths) taskBytes += length;
    this.shared = new Frames(work.body, work.sharedLengths ?? new Uint32Array(0), taskBytes);
    this.sharedStart = this.shared.place();
  }

  next(): unknown {
    const first = this.task++ * this.sameCount;
    return this.frames.within(this.framesOf(first), () => {
      const template = this.template ?? this.frames.bytes();
      this.shared.goTo(this.sharedStart);
      let same = first;
      const values = this.args.map((arg, at) => {
        const frames = arg.take === 'same' ? this.frames : this.shared;
        const count = arg.take === 'same' ? (this.counts?.[same++] ?? 1) : arg.frames;
        const isList = arg.take === 'all' || arg.list === true;
        const value = isList ? list(frames, count, this.codecs[at]!) : frames.decode(this.codecs[at]!);
        return pick(value, arg.path);
      });
      return fillTemplate(template, values);
    });
  }

  skip(): void {
    this.frames.skip(this.framesOf(this.task++ * this.sameCount));
  }

  private framesOf(first: number): number {
    let count = this.template ? 0 : 1;
    for (let i = first; i < first + this.sameCount; i++) count += this.counts?.[i] ?? 1;
    return count;
  }
}

function list(frames: Frames, count: number, codec: Codec): unknown[] {
  const values: unknown[] = new Array(count);
  for (let i = 0; i < count; i++) values[i] = frames.decode(codec);
  return values;
}

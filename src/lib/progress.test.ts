import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createProgress } from './progress-bar.ts';
import { drawBar, type Pace, type ProgressView, plainLine } from './progress-text.ts';
import { createTerminal, cutTo, wantsColor, widthOf } from './terminal.ts';

/** A terminal's screen, as far as our few escape sequences need one. */
class Screen extends EventEmitter {
  readonly isTTY: boolean;
  columns = 80;
  rows = 24;
  readonly raw: string[] = [];
  readonly #rows: string[] = [''];
  #row = 0;
  #column = 0;
  constructor(isTTY = true) {
    super();
    this.isTTY = isTTY;
  }
  write = ((chunk: string) => {
    this.raw.push(chunk);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is played
    for (const [token] of String(chunk).matchAll(/\u001b\[(\d*)([A-Za-z])|[\s\S]/gu)) this.#play(token);
    return true;
  }) as NodeJS.WriteStream['write'];
  #play(token: string): void {
    if (token === '\r') this.#column = 0;
    else if (token === '\n') {
      this.#row++;
      this.#column = 0;
      if (this.#row === this.#rows.length) this.#rows.push('');
    } else if (token.startsWith('\u001b[')) {
      const line = this.#rows[this.#row]!;
      if (token.endsWith('A')) this.#row -= Number(token.slice(2, -1) || 1);
      else if (token.endsWith('K')) this.#rows[this.#row] = line.slice(0, this.#column);
      else if (token.endsWith('J')) {
        this.#rows[this.#row] = line.slice(0, this.#column);
        this.#rows.length = this.#row + 1;
      }
    } else {
      const line = this.#rows[this.#row]!.padEnd(this.#column);
      this.#rows[this.#row] = line.slice(0, this.#column) + token + line.slice(this.#column + 1);
      this.#column++;
    }
  }
  get lines(): string[] {
    return this.#rows.map((row) => row.trimEnd());
  }
}

const view = (change: Partial<ProgressView> = {}): ProgressView => ({
  ...{ job: 'j', name: 'primes.count', state: 'running', total: 10_000, queued: 3572, running: 16 },
  ...{ succeeded: 6410, failed: 2, skipped: 0, retried: 3, recovered: 0 },
  ...change,
});
const pace: Pace = { elapsedMs: 20_000, ratePerSecond: 318, stillMs: 0 };
const looks = { columns: 105, color: false, unicode: true };

describe('the bar', () => {
  it('is what the manual shows', () => {
    expect(drawBar('primes.count', view(), pace, looks)).toEqual([
      'primes.count  ━━━━━━━━━━━━━━━━━━━━━━━━━━━╸───────────────  6 412 / 10 000  64 %  318/s  0:20 · 0:11 left',
      '              16 running · 3 retried · 2 failed',
    ]);
  });

  it.each([20, 30, 45, 60, 80, 200])('fits into %i columns', (columns) => {
    for (const color of [true, false]) {
      const long = view({ note: 'a note that goes on and on '.repeat(20), waiting: 'no worker serves the queue "gpu"' });
      for (const line of drawBar('a title that is much too long for a narrow window', long, pace, { ...looks, columns, color })) {
        expect(widthOf(line)).toBeLessThan(columns);
      }
    }
  });

  it('says 100 % only when it is true, and knows streams whose end nobody knows', () => {
    expect(drawBar('a', view({ total: 1_000_000, succeeded: 999_997 }), pace, looks)[0]).toContain('99 %');
    const open: ProgressView = view();
    delete open.total;
    expect(drawBar('a', open, pace, looks)[0]).toContain('6 412 / 10 000+');
    expect(drawBar('a', view({ total: 0, succeeded: 0, failed: 0 }), pace, looks)[0]).toContain('0 / 0');
  });

  it('says why nothing moves', () => {
    expect(drawBar('a', view({ waiting: 'no worker serves the queue "gpu"' }), pace, looks)[1]).toContain(
      'waiting: no worker serves the queue "gpu"',
    );
    expect(drawBar('a', view(), { ...pace, stillMs: 9_000 }, looks)[1]).toContain('no task ended for 0:09, 16 running');
  });

  it('shows nothing of a note that could act on the terminal (X13)', () => {
    const [head, details] = drawBar('evil\u001b[2J', view({ note: '\u001b]0;x\u0007\nforged' }), pace, looks);
    expect(head).toContain('evil\\x1b[2J');
    expect(details).toContain('\\x1b]0;x\\x07\\nforged');
  });

  it('is one complete line in a log', () => {
    expect(plainLine('primes.count', view(), pace, false)).toBe(
      'primes.count  6 412 / 10 000  64 %  318/s  0:20 elapsed, 0:11 left  (16 running, 3 retried, 2 failed)',
    );
  });
});

describe('live lines on a terminal', () => {
  it('are redrawn in place, stay below what is printed, and go away', () => {
    const screen = new Screen();
    const output = Object.assign(new EventEmitter(), { isTTY: true, write: (chunk: string) => screen.write(chunk) }) as NodeJS.WriteStream;
    const terminal = createTerminal(screen, [output]);
    const ownWrite = output.write;
    output.write('before\n');
    terminal.show(['one', 'two']);
    terminal.show(['ONE', '2']);
    expect(screen.lines).toEqual(['before', 'ONE', '2']);
    output.write('result\n');
    terminal.print('a log line');
    expect(screen.lines).toEqual(['before', 'result', 'a log line', 'ONE', '2']);
    terminal.show(['three']);
    expect(screen.lines).toEqual(['before', 'result', 'a log line', 'three']);
    terminal.show([]);
    expect(screen.lines).toEqual(['before', 'result', 'a log line', '']);
    expect(output.write).toBe(ownWrite);
  });

  it('stay away while a line is not finished', () => {
    const screen = new Screen();
    const terminal = createTerminal(screen);
    terminal.show(['bar']);
    screen.write('your name? ');
    terminal.show(['bar 2']);
    expect(screen.lines).toEqual(['your name?']);
    screen.write('\n');
    expect(screen.lines).toEqual(['your name?', 'bar 2']);
    terminal.show([]);
  });

  it('write nothing where there is no terminal', () => {
    const file = new Screen(false);
    const terminal = createTerminal(file);
    terminal.show(['bar']);
    expect(file.raw).toEqual([]);
    terminal.print('text');
    expect(file.raw).toEqual(['text\n']);
  });

  it('measures wide characters and cuts between them', () => {
    expect(widthOf('日本\u001b[1m!')).toBe(5);
    expect(cutTo('日本語', 5)).toBe('日本…');
  });

  it('colours as it is told', () => {
    const tty = { isTTY: true };
    expect([wantsColor('auto', tty, {}), wantsColor('auto', {}, {}), wantsColor('auto', tty, { NO_COLOR: '1' })]).toEqual([
      true,
      false,
      false,
    ]);
    expect([wantsColor('never', tty, {}), wantsColor('always', {}, { NO_COLOR: '1' })]).toEqual([false, true]);
  });
});

describe('following jobs', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  /** Views that the test hands out one by one. */
  function feed(): { views: AsyncIterable<ProgressView>; give: (next?: ProgressView) => Promise<void> } {
    let wake: (result: IteratorResult<ProgressView>) => void = () => undefined;
    const views = {
      [Symbol.asyncIterator]: () => ({ next: () => new Promise<IteratorResult<ProgressView>>((resolve) => void (wake = resolve)) }),
    };
    return {
      views,
      give: async (next) => {
        wake(next ? { done: false, value: next } : { done: true, value: undefined });
        await vi.advanceTimersByTimeAsync(0);
      },
    };
  }

  it('draws a bar a job and leaves nothing behind', async () => {
    const screen = new Screen();
    const progress = createProgress({ mode: 'bar', color: 'never', terminal: createTerminal(screen), now: () => Date.now() });
    const [one, two] = [feed(), feed()];
    const both = [progress.follow('first', one.views, true), progress.follow('second', two.views)];
    await one.give(view());
    await two.give(view());
    await vi.advanceTimersByTimeAsync(200);
    expect(screen.lines.map((line) => line.split(' ')[0])).toEqual(['first', '']);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(screen.lines.map((line) => line.split(' ')[0])).toEqual(['first', '', 'second', '']);
    await one.give();
    expect(screen.lines.map((line) => line.split(' ')[0])).toEqual(['second', '']);
    await two.give();
    await Promise.all(both);
    expect(screen.lines).toEqual(['']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('prints a plain line every ten seconds and one at the end, without any escape', async () => {
    const file = new Screen(false);
    const progress = createProgress({ terminal: createTerminal(file), now: () => Date.now() });
    const source = feed();
    const following = progress.follow('primes', source.views);
    await source.give(view({ succeeded: 100, failed: 0, retried: 0 }));
    await vi.advanceTimersByTimeAsync(9_900);
    expect(file.raw).toEqual([]);
    await source.give(view({ succeeded: 3100, failed: 0, retried: 0 }));
    await vi.advanceTimersByTimeAsync(10_000);
    expect(file.raw).toHaveLength(1);
    expect(file.raw[0]).toMatch(/^primes {2}3 100 \/ 10 000 {2}31 % {2}303\/s {2}0:10 elapsed, 0:23 left {2}\(16 running\)\n$/);
    await source.give(view({ succeeded: 10_000, failed: 0, running: 0, retried: 0, state: 'succeeded' }));
    await source.give();
    await following;
    expect(file.raw).toHaveLength(2);
    expect(file.raw[1]).toContain('10 000 / 10 000  100 %');
    expect(file.raw.filter((text) => text.includes('\r') || text.includes('\u001b'))).toEqual([]);
  });

  it('says nothing in a log about what is over at once', async () => {
    const file = new Screen(false);
    const source = feed();
    const following = createProgress({ terminal: createTerminal(file) }).follow('quick', source.views);
    await source.give(view());
    await source.give();
    await following;
    expect(file.raw).toEqual([]);
  });

  it('tells programs in JSON', async () => {
    const file = new Screen(false);
    const source = feed();
    const following = createProgress({ mode: 'json', terminal: createTerminal(file), now: () => Date.now() }).follow('t', source.views);
    await source.give(view());
    await source.give(view({ succeeded: 9998, state: 'succeeded' }));
    await source.give();
    await following;
    expect(JSON.parse(file.raw.at(-1)!)).toMatchObject({ type: 'progress', title: 't', state: 'succeeded', succeeded: 9998, ended: true });
  });
});

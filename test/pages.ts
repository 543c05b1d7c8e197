/** The pages of docs/ as text: their code blocks, and which of them nobody runs. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './packed.ts';

export interface Block {
  page: string;
  /** Of its opening fence, from 1. */
  line: number;
  /** The title that it stands under. */
  heading: string;
  language: string;
  text: string;
}

export function blocksOf(page: string): Block[] {
  const lines = linesOf(page);
  const found: Block[] = [];
  let heading = '';
  let open: { line: number; language: string } | undefined;
  for (const [index, line] of lines.entries()) {
    const fence = /^```(\w*)$/.exec(line);
    if (!fence) {
      if (!open) heading = /^#+ (.*)$/.exec(line)?.[1] ?? heading;
      continue;
    }
    if (open) {
      found.push({ page, ...open, heading, text: `${lines.slice(open.line, index).join('\n')}\n` });
      open = undefined;
    } else open = { line: index + 1, language: fence[1]! };
  }
  return found;
}

/** As many texts as there are names. */
type Texts<Names extends readonly string[]> = { [At in keyof Names]: string };

/** A page that somebody does word for word: each of its blocks is asked for by where it stands, and is what it is today. */
export class Walk {
  readonly #page: string;
  readonly #blocks: readonly Block[];
  readonly #prose: string;
  readonly #taken: string[] = [];

  constructor(page: string) {
    this.#page = page;
    this.#blocks = blocksOf(page);
    this.#prose = linesOf(page)
      .join('\n')
      .replaceAll(/^```[\s\S]*?^```$/gm, '')
      .replaceAll(/\s+/g, ' ');
  }

  /** All code blocks under a title, which have these languages. */
  under<const Languages extends readonly string[]>(heading: string, ...languages: Languages): Texts<Languages> {
    const blocks = this.#blocks.filter((block) => block.heading === heading);
    const [found, known] = [blocks.map(({ language }) => language), languages].map((list) => list.join(', '));
    if (found !== known) throw new Error(`${this.#page}: the blocks under "${heading}" are [${found}], and we know [${known}]`);
    const texts = blocks.map(({ text }) => text);
    this.#taken.push(...texts);
    return texts as Texts<Languages>;
  }

  /** What the pattern's groups match in the text between the blocks, whose lines are one. */
  says(pattern: RegExp): string[] {
    const match = pattern.exec(this.#prose);
    if (!match) throw new Error(`${this.#page} does not say ${pattern} any more`);
    this.#taken.push(match[0]);
    return match.slice(1);
  }

  /** Code blocks, and commands in the text, that nobody has asked for. */
  get untaken(): string[] {
    const blocks = this.#blocks.filter(({ text }) => !this.#taken.includes(text)).map(({ page, line }) => `${page}:${line}`);
    const commands = [...this.#prose.matchAll(/`(npx \w+ [^`]+)`/g)].map(([, command]) => command!);
    const known = this.#taken.join('\n');
    return [...blocks, ...commands.filter((command) => !known.includes(command)).map((command) => `${this.#page}: ${command}`)];
  }
}

/** The lines of a block, each of which has its word. */
export function linesWith<const Words extends readonly string[]>(text: string, ...words: Words): Texts<Words> {
  const lines = text.trimEnd().split('\n');
  if (lines.length !== words.length || !words.every((word, at) => lines[at]!.includes(word)))
    throw new Error(`these are not the lines of [${words.join(', ')}]:\n${text}`);
  return lines as unknown as Texts<Words>;
}

function linesOf(page: string): string[] {
  return readFileSync(join(root, page), 'utf8').split('\n');
}

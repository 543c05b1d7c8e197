/**
 * Where the file is that a thread or a child process starts with. Threads load JavaScript: code that itself runs
 * from src/ (tests) starts the built twin under dist/.
 */
export function entryUrl(importer: string, relative: string): URL {
  const url = new URL(relative, importer);
  if (!url.pathname.endsWith('.ts')) return url;
  url.pathname = url.pathname.replace(/\/src\/(?!.*\/src\/)/, '/dist/').replace(/\.ts$/, '.js');
  return url;
}

import { main, task } from 'shoal';

export const hello = task('hello', (name: string) => `hello, ${name}`);

main(async () => console.log(await hello.run('world')));

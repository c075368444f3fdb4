// Small things about the page.
export const $ = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  e.append(...children);
  return e;
}

export function rows(body, list) {
  body.replaceChildren(...list.map((cells) => element('tr', {}, ...cells.map((cell) => (cell instanceof Node ? cell : element('td', {}, cell))))));
}

// Has a form call work(fields) when it is sent, and show what it returns, or the error, in answer.
export function onSend(form, answer, work) {
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const button = form.querySelector('button');
    button.disabled = true;
    try {
      answer.classList.remove('error');
      answer.textContent = await work(Object.fromEntries(new FormData(form))) ?? '';
    } catch (error) {
      answer.classList.add('error');
      answer.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
}

export function bytes(n) {
  const units = ['bytes', 'kB', 'MB', 'GB'];
  let i = 0;
  for (; n >= 10000 && i < units.length - 1; i++) n /= 1024;
  return `${Math.round(n)} ${units[i]}`;
}

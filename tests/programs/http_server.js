// Answers GET /x with x. Usage: http_server.js PORT
const http = require('http');

http
  .createServer((request, response) => {
    const body = request.url.slice(1);
    response.sendDate = false;
    response.writeHead(200, {'Content-Length': body.length});
    response.end(body);
  })
  .listen(Number(process.argv[2]), '127.0.0.1').keepAliveTimeout = 0;

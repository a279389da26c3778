#include "control/client.hpp"

#include "http/client.hpp"
#include "http/transport.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

namespace titip::control {

namespace asio = boost::asio;

struct client::parts {
    std::filesystem::path socket;
    asio::io_context io{1};
    std::unique_ptr<http::client_connection> connection;

    asio::awaitable<result<http::response>> run(std::string method, std::string target,
                                                bytes_view body, milliseconds limit)
    {
        constexpr std::size_t most_answer_bytes = 32u << 20;
        if (!connection) {
            auto transport = co_await http::connect_unix(socket);
            if (!transport)
                co_return transport.error();
            connection = std::make_unique<http::client_connection>(std::move(*transport), "titip");
        }
        connection->transport().set_no_progress_limit(limit);
        const http::fields none;
        // A refusal may come before the body is through: what it says counts more than that writing
        // failed.
        auto sent = co_await connection->write_request(method, target, none, body.size());
        if (sent && !body.empty())
            sent = co_await connection->write_body(body);
        auto answer = co_await connection->read_response(method == "HEAD", most_answer_bytes);
        if (!answer || !sent || !answer->keep_alive)
            connection.reset();
        co_return answer;
    }
};

client::client(std::filesystem::path socket) : parts_(std::make_unique<parts>())
{
    parts_->socket = std::move(socket);
}

client::~client() = default;

result<http::response> client::exchange(std::string_view method, std::string_view target,
                                        bytes_view body, milliseconds limit)
{
    result<http::response> out{error_code{http::errc::bad_message}};
    auto work = parts_->run(std::string{method}, std::string{target}, body, limit);
    bool is_done = false;
    asio::co_spawn(parts_->io, std::move(work),
                   [&](std::exception_ptr failed, result<http::response> answer) {
                       is_done = true;
                       if (failed)
                           std::rethrow_exception(failed);
                       out = std::move(answer);
                   });
    // Not until nothing is left to do: the kept connection has timers of its own.
    parts_->io.restart();
    while (!is_done)
        parts_->io.run_one();
    return out;
}

} // namespace titip::control

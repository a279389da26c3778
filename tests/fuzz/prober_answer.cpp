#include "require.hpp"

#include "base/name.hpp"
#include "link/monitor.hpp"
#include "link/prober.hpp"

#include <array>

using namespace titip;
using fuzz::require;

/// Whatever answers a probe: what it says of the node, within bounds, or why it is none; and nothing of it
/// keeps a node from looking again, or from sending, for longer than an hour. The first byte is the status,
/// the second says which fields there are, and how many bytes belong to them.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    constexpr std::size_t options = 2;
    if (size < options)
        return 0;
    constexpr std::array statuses{100u, 200u, 204u, 301u, 401u, 403u, 429u, 503u, 508u, 0u, 999u};
    http::response answer;
    // Mostly 200: only then is the body looked at.
    answer.status = data[0] < statuses.size() ? statuses[data[0]] : 200;
    auto body =
        as_text(bytes_view{reinterpret_cast<const std::byte*>(data) + options, size - options});
    const auto field = body.substr(0, data[1] / 4);
    if (data[1] % 4 == 1)
        answer.fields.add("Content-Type", std::string{field});
    if (data[1] % 4 == 2)
        answer.fields.add("Retry-After", std::string{field});
    body.remove_prefix(field.size());
    answer.body = to_bytes(as_bytes(body));

    const auto got = link::judge(answer);
    if (!got) {
        const auto& why = got.error();
        require(why.retry_after >= milliseconds{} && why.retry_after <= 1h);
        require(why.verdict != link::verdict::unknown && why.verdict != link::verdict::ok &&
                !why.detail.empty() && why.detail.size() < 200);
        const instant now{};
        link::monitor monitor{now};
        const auto next = monitor.on_failure(now, why.verdict, why.retry_after, 0.5);
        require(next.probe_at > now && next.probe_at <= now + 1h + 5min);
        return 0;
    }
    require(answer.status == 200 && is_node_name(got->name));
    require(got->protocol >= 1 && got->protocol <= 1'000'000);
    require(got->road.size() <= link::node_info::most_names);
    for (const auto& each : got->road)
        require(each == "?" || is_node_name(each));
    const instant now{};
    const auto at = link::first_send_at(now, got->spread, "office-1");
    require(at >= now && at <= now + 1h);
    require(link::judge(answer)->name == got->name);
    return 0;
}
